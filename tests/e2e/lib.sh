# tests/e2e/lib.sh - sourced by the end-to-end tests: a cluster of real processes on loopback.
#
#   . "$(dirname "$0")/lib.sh" "$@"      $1 is the build directory
#   start_master; start_worker 1; start_mount M        each sets pid_<name>
#   kill9 master; ...                                  and all are ended at exit, by pid
# A test fails by `fail TEXT`, is skipped by `skip TEXT` (status 77), and is over by reaching the end.
set -u
build=$(cd "${1:?usage: $0 BUILD_DIR}" && pwd)
export PATH=$build:$PATH LC_ALL=C.UTF-8
here=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/tarn-e2e-XXXXXX")
store=$work/store
mkdir -p "$store"
export TARN_CONFIG=$work/tarn.json
declare -A pids=() points=()
small=()

fail() { echo "FAIL: $*"; for l in "$work"/*.log; do echo "--- $l"; tail -n 15 "$l"; done; exit 1; }
skip() { echo "SKIP: $*"; exit 77; }
# Twenty ports from $port on are this test's alone: the lock is free when its last process is gone.  They
# lie below those that the kernel gives to outgoing connections (from 32768), which would take the
# port of a process that is down just now.
reserve_ports() {
    local dir=${TMPDIR:-/tmp}/tarn-e2e-ports i
    mkdir -p "$dir" && chmod 1777 "$dir" 2> /dev/null
    for i in $(seq 300); do
        port=$((21000 + 20 * (RANDOM % 580)))
        { exec {port_lock}>> "$dir/$port"; } 2> /dev/null || continue
        flock -n "$port_lock" && ! cat /proc/net/tcp /proc/net/tcp6 2> /dev/null | awk '{print $2}' |
            grep -qF -f <(printf ':%04X\n' $(seq "$port" $((port + 19)))) && return
        exec {port_lock}>&-
    done
    fail "no free ports between 21000 and 32600"
}
mounted() { awk -v m="$1" '$2 == m {found=1} END {exit !found}' /proc/mounts; }
cleanup() {
    local code=$? name
    trap - EXIT
    for name in "${!points[@]}"; do
        mounted "${points[$name]}" && fusermount3 -uz "${points[$name]}"
    done
    for name in "${small[@]}"; do umount -l "$name"; done
    kill -9 $(jobs -p) 2>/dev/null # the test's own loops, too
    for name in "${!pids[@]}"; do kill -9 "${pids[$name]}" 2>/dev/null && wait "${pids[$name]}" 2>/dev/null; done
    [ "${KEEP:-}" ] && echo "kept: $work" || rm -rf "$work"
    exit $code
}
trap cleanup EXIT
trap 'exit 130' INT TERM
reserve_ports

config() { # config MODE INTERVAL [more JSON sections]
    cat > "$TARN_CONFIG" <<END
{"master": {"listen": "127.0.0.1:$port", "dir": "$work/master", "lease": "2s", "session": "6s"},
 "worker": {"capacity": "256MiB"},
 "client": {"deadline": "10s"},
 "journal": {"segment": "1MiB", "image_after": "1MiB"},
 "mounts": [{"path": "/", "ufs": "dir:$store", "mode": "$1", "check_interval": "$2"}]${3:+, $3}}
END
}
spawn() { # spawn NAME COMMAND... : in the background with a ready pipe
    local name=$1 pipe=$work/$1.ready fd
    shift
    rm -f "$pipe" && mkfifo "$pipe"
    exec {fd}<>"$pipe"
    "$@" --ready-fd 9 9>"$pipe" >> "$work/$name.log" 2>&1 {fd}>&- &
    pids[$name]=$!
    local word= part i
    for i in $(seq 900); do # at a time-out, read has taken what there was: a word may come in parts
        read -r -t 0.1 -u "$fd" part && { word+=$part; break; }
        word+=$part
        kill -0 "${pids[$name]}" 2>/dev/null || break
    done
    exec {fd}>&-
    [ "$word" = ready ]
}
start_master() { spawn master tarn master "$@" || fail "the master did not start"; }
start_worker() { # start_worker N [options]
    local n=$1; shift
    spawn "worker$n" tarn worker --set "worker.listen=127.0.0.1:$((port + n))" --set "worker.dir=$work/worker$n" "$@" || fail "worker $n did not start"
}
need_fuse() { [ -r /dev/fuse ] && [ -w /dev/fuse ] || skip "/dev/fuse is not usable here"; }
start_through() { # start_through DIR NAME: the directory, at $work/NAME too, by a file system that can be stopped
    mkdir "$1" "$work/$2"
    points[$2]=$work/$2
    "$build/fuse-through" "$1" "$work/$2" -f > "$work/through.log" 2>&1 &
    pids[through]=$!
    wait_for 10 mountpoint -q "$work/$2" || fail "not mounted: $(cat "$work/through.log")"
}
start_mount() { # start_mount NAME [options]: at $work/NAME
    local name=$1; shift
    mkdir -p "$work/$name"
    points[$name]=$work/$name
    spawn "mount-$name" tarn mount "$work/$name" "$@" || fail "the mount did not start"
    mounted "$work/$name" || fail "said ready, but is not mounted"
}
kill9() { kill -9 "${pids[$1]}" && wait "${pids[$1]}" 2>/dev/null; unset "pids[$1]"; }
mount_small() { # mount_small SIZE[,OPTIONS] DIR: a file system of its own, gone at the end; needs root
    mount -t tmpfs -o "size=$1" tmpfs "$2" 2> /dev/null && small+=("$2")
}
term() { # term NAME: SIGTERM and a clean end within 40 s
    local pid=${pids[$1]} i
    kill -TERM "$pid"
    for i in $(seq 400); do
        if ! kill -0 "$pid" 2>/dev/null; then
            wait "$pid"; local code=$?
            unset "pids[$1]"
            return $code
        fi
        sleep 0.1
    done
    fail "$1 did not end on SIGTERM"
}
wait_for() { # wait_for SECONDS COMMAND...
    local until=$((SECONDS + $1)); shift
    while ! "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $until ] || return 1
        sleep 0.2
    done
}
# Files f-N with "content of N", the numbers in $work/acked as they are acknowledged, until $work/stop
# is there: a loop to run in the background.  What could not be written is in $work/refused.
write_files() { # write_files DIR [PAUSE_SECONDS]
    local i=0
    while [ ! -e "$work/stop" ]; do
        i=$((i + 1))
        if echo "content of $i" > "$1/f-$i" 2>> "$work/writer.log"; then echo $i >> "$work/acked"
        else echo "f-$i: not written" >> "$work/refused"; fi
        [ -z "${2:-}" ] || sleep "$2"
    done
}
acked() { cat "$work/acked" 2> /dev/null | wc -l; }
acked_more() { [ "$(acked)" -ge "$1" ]; }
acked_are_there() { # acked_are_there DIR: every one, and no more, there and in the under-store
    local i
    [ ! -e "$work/refused" ] || fail "refused: $(head -3 "$work/refused" "$work/writer.log")"
    while read -r i; do
        [ "$(cat "$1/f-$i" 2> /dev/null)" = "content of $i" ] || fail "f-$i was acknowledged, and is lost"
        [ "$(cat "$store/f-$i" 2> /dev/null)" = "content of $i" ] || fail "f-$i is not in the under-store"
    done < "$work/acked"
    [ "$(ls "$1" | wc -l)" = "$(acked)" ] || fail "$(ls "$1" | wc -l) files for $(acked) acknowledged"
}
total() { tarn status --all | awk -v k="total.$1" '$1 == k {print $2}'; }
