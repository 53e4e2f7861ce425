#!/bin/bash
# The units of deploy/systemd: systemd takes them, and what they rely on is so: READY, WATCHDOG,
# STOPPING, and processes that need no more than the units leave them.
. "$(dirname "$0")/lib.sh" "$@"
units=$here/deploy/systemd
mkdir "$work/units"
for f in "$units"/*.service; do sed "s|/usr/bin/tarn|$build/tarn|" "$f" > "$work/units/${f##*/}"; done
if command -v systemd-analyze > /dev/null; then
    out=$(systemd-analyze verify --man=no "$work"/units/*.service 2>&1) && ! grep -F "$work" <<< "$out" || fail "systemd-analyze: $out"
else
    echo "SKIP: systemd-analyze is not here: units are not verified"
fi

# --- what the manager hears ---
export NOTIFY_SOCKET=$work/notify WATCHDOG_USEC=2000000
python3 "$here/tests/e2e/notify.py" "$NOTIFY_SOCKET" "$work/heard" & ear=$!
wait_for 10 test -S "$NOTIFY_SOCKET" || fail "no ear"
heard() { grep -c "$1" "$work/heard"; }
hears() { wait_for 30 grep -q "$1" "$work/heard" || fail "not heard: $1: $(cat "$work/heard")"; }
config through 1s
tarn worker --set "worker.listen=127.0.0.1:$((port + 1))" --set "worker.dir=$work/worker1" >> "$work/worker1.log" 2>&1 &
pids[worker1]=$!
hears 'EXTEND_TIMEOUT_USEC=' # a manager that knew a limit is told to wait
hears 'STATUS=starting: no master answers'
[ "$(heard READY=1)" = 0 ] || fail "ready without a master"
start_master
hears 'READY=1'
wait_for 30 eval '[ "$(grep -c READY=1 "$work/heard")" = 2 ]' || fail "master and worker: $(cat "$work/heard")"
n=$(heard WATCHDOG=1)
wait_for 30 eval '[ "$(grep -c WATCHDOG=1 "$work/heard")" -ge $((n + 6)) ]' || fail "the watchdog starves"
kill -STOP "${pids[master]}" "${pids[worker1]}" # who stands still feeds nobody
sleep 1.5; n=$(heard WATCHDOG=1); sleep 2
[ "$(heard WATCHDOG=1)" = "$n" ] || fail "a stopped process feeds the watchdog"
kill -CONT "${pids[master]}" "${pids[worker1]}"
wait_for 30 eval '[ "$(grep -c WATCHDOG=1 "$work/heard")" -gt $n ]' || fail "no food after SIGCONT"
kill -HUP "${pids[master]}" "${pids[worker1]}" # logrotate's, for those without a log.file, too
sleep 0.5
[ "$(heard READY=1)" = 2 ] || fail "READY $(heard READY=1) times"
kill -TERM "${pids[worker1]}"; wait "${pids[worker1]}" || fail "the worker's end: $?"
unset "pids[worker1]"
hears 'STOPPING=1'
term master || fail "the master's end"
kill "$ear"
unset NOTIFY_SOCKET WATCHDOG_USEC

# --- with no more than the units leave them ---
[ "$(id -u)" = 0 ] && command -v setpriv > /dev/null || { echo "not root, or no setpriv: as far as that goes"; echo ok; exit 0; }
need_fuse
caps=$(sed -n 's/^AmbientCapabilities=//p' "$units/tarn-worker@.service" | tr 'A-Z' 'a-z' | sed 's/cap_/+/g; s/ /,/g')
chmod 755 "$work"; mkdir -p "$work/master" "$work/worker1"
chown -R 65534:65534 "$work/master" "$work/worker1"
as_unit() { local name=$1; shift
    spawn "$name" setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --inh-caps "-all,$caps" \
        --ambient-caps "-all,$caps" --bounding-set "-all,$caps" "$@" || fail "$name did not start"; }
as_unit master "$build/tarn" master
as_unit worker1 "$build/tarn" worker --set "worker.listen=127.0.0.1:$((port + 1))" --set "worker.dir=$work/worker1"
start_mount A
mkdir "$work/A/d" && echo hello > "$work/A/d/f" && chown 1234:5678 "$work/A/d/f" && chmod 4711 "$work/A/d/f" || fail "as a unit"
mkfifo "$work/A/d/p" && ln -s f "$work/A/d/l" && mv "$work/A/d/f" "$work/A/d/g" || fail "names as a unit"
[ "$(stat -c '%u:%g:%a' "$store/d/g")" = 1234:5678:4711 ] || fail "below: $(stat -c '%u:%g:%a' "$store/d/g")"
[ "$(cat "$work/A/d/g")" = hello ] || fail "read as a unit"
[ -p "$store/d/p" ] || fail "no fifo below"
rm -r "$work/A/d" && [ ! -e "$store/d" ] || fail "removed as a unit"
term mount-A; term worker1; term master
echo ok
