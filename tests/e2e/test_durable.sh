#!/bin/bash
# What write, close and fsync mean (docs/posix.md): what was written is in the under-store when write
# returns, fsync reaches the under-store's fsync, and neither changes when the mount, a worker, all
# workers or the master die by kill -9 between write and fsync.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
eio=
if command -v cc > /dev/null && cc -shared -fPIC -o "$work/eio.so" "$here/tests/e2e/eio.c" -ldl 2> /dev/null; then
    case "$(ldd "$build/tarn")" in *libasan*) ;; *) eio=$work/eio.so ;; esac
fi
export EIO_ROOT=$store EIO_FLAG=$work/eio.flag MODEL=$work/model
worker() { LD_PRELOAD=$eio start_worker "$1"; }
fails() { echo -n "$1" > "$work/eio.new" && mv "$work/eio.new" "$EIO_FLAG"; }
d() { timeout 60 python3 "$here/tests/e2e/durable.py" "$@" || fail "$who: $*: see above"; }
config through 0
start_master; worker 1; worker 2; start_mount A; start_mount B
fails ""
seed=${DURABLE_SEED:-$$}
echo "seed $seed"
for who in nobody master worker workers direct mount; do
    rm -f "$MODEL"; seed=$((seed + 1))
    [ $who = direct ] && { kill9 worker1; kill9 worker2; }
    exec 7<> "$work/A/$who" 8>> "$work/A/$who" || fail "$who: open"
    d write $seed
    case $who in
        master) kill9 master ;;
        worker) kill9 worker1 ;;
        workers) kill9 worker1; kill9 worker2 ;;
        mount) kill9 mount-A ;;
    esac
    d same "$store/$who"
    case $who in
        master) start_master 7>&- 8>&- ;;
        workers) # fsync waits for one of them
            [ "$eio" ] && fails s
            timeout 60 python3 "$here/tests/e2e/durable.py" sync $([ "$eio" ] && echo EIO || echo 0) & job=$!
            sleep 0.3; kill -0 $job 2> /dev/null || fail "fsync did not wait for the workers that wrote"
            worker 1 7>&- 8>&-; worker 2 7>&- 8>&-
            wait $job || fail "fsync after all workers came back"
            fails "" ;;
    esac
    if [ $who = mount ]; then
        d sync ENOTCONN ECONNABORTED
    elif [ $who != direct ] && [ $who != workers ] && [ "$eio" ]; then # not a word of success without the under-store's
        fails s; d sync EIO
        fails ""; d sync 0
    else
        d sync 0
    fi
    [ $who = mount ] || { d write $((seed + 1000)); d same "$store/$who"; d sync 0; d map; }
    exec 7>&- 8>&-
    d same "$store/$who" "$work/B/$who" # at once: close is where the next open begins
    case $who in
        mount)
            fusermount3 -uz "$work/A"; start_mount A
            d same "$work/A/$who" ;;
        worker) worker 1 ;;
        direct) worker 1; worker 2 ;;
    esac
    rm -f "$work/listed" # no writer is left: the file has a version of its own again
    wait_for 30 sh -c 'tarn fs stat "/$1" | tee "$2" | grep -q "being written" && exit 1; exit 0' sh $who "$work/listed" || fail "$who: somebody still writes it: $(cat "$work/listed")"
    d same "$work/A/$who" "$work/B/$who"
done
term mount-A && term mount-B || fail "a mount did not end well"
echo ok
