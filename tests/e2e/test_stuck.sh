#!/bin/bash
# Master and worker are stopped (SIGSTOP): a process that waits for an answer can be killed at once, by
# SIGKILL and by Ctrl-C, whatever it waits for; afterwards everything goes on.  And strangers on the
# ports do not fill the logs.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
# on a slow machine what waits must not be over before it is looked at
config through 0 '"client": {"deadline": "60s", "direct_under_store": false}'
start_master; start_worker 1; start_mount A
mkdir "$work/A/d"; head -c 3000000 /dev/urandom > "$work/A/f"
hang() { # hang SIGNAL WHAT PYTHON: begins, waits, is ended by the signal
    python3 - "$work/A" 9<> "$work/hang.fifo" <<END &
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
m = sys.argv[1]
def begun():
    os.write(9, b"x\n")
$3
END
    local pid=$! word= i
    read -r -t 20 word <&8 || fail "$2: did not begin"
    sleep 0.3
    kill -0 $pid 2> /dev/null || fail "$2: does not wait for a stopped cluster"
    local t=$(date +%s%N)
    disown $pid 2> /dev/null
    kill -s "$1" $pid
    for i in $(seq 100); do kill -0 $pid 2> /dev/null || break; sleep 0.1; done
    kill -0 $pid 2> /dev/null && { kill -CONT "${pids[master]}" "${pids[worker1]}"; fail "$2: not ended by SIG$1 after 10 s"; }
    echo "$2 SIG$1: $(( ($(date +%s%N) - t) / 1000000 )) ms" | tee -a "$work/ms"
}
mkfifo "$work/hang.fifo"; exec 8<> "$work/hang.fifo"
for sig in KILL INT; do
    python3 -c "import os,sys,time
fd=os.open('$work/A/f',os.O_RDWR); open('$work/opened.$sig','w').close()
time.sleep(60)" & opener=$!
    wait_for 10 test -e "$work/opened.$sig"
    kill -STOP "${pids[master]}"
    hang $sig mkdir "begun(); os.mkdir(m + '/new-$sig')"
    hang $sig stat "begun(); os.stat(m + '/none-$sig')"
    hang $sig list "begun(); os.listdir(m + '/d')"
    hang $sig cat "begun(); os.execvp('cat', ['cat', m + '/unread-$sig'])"
    [ $sig = KILL ] || hang $sig handled "signal.signal(signal.SIGINT, signal.default_int_handler); begun(); os.stat(m + '/none-h')" 2> "$work/handled.err"
    hang $sig unlink "begun(); os.unlink(m + '/gone-$sig')"
    hang $sig rename "begun(); os.rename(m + '/d', m + '/e')"
    kill -CONT "${pids[master]}"
    wait_for 20 test -e "$work/A/f" || fail "the mount does not go on"
    wait_for 20 test -d "$work/A/d" || mv "$work/A/e" "$work/A/d" || fail "the directory is gone"
    kill -STOP "${pids[worker1]}"
    hang $sig read "fd = os.open(m + '/f', os.O_RDWR); begun(); os.pread(fd, 1000000, 0)"
    hang $sig write "fd = os.open(m + '/f', os.O_RDWR); begun(); os.pwrite(fd, b'x' * 1000000, 0)"
    kill -CONT "${pids[worker1]}"
    kill $opener
done
# A SIGKILL waits for nothing but a process to be scheduled.
awk '{if ($3 > 5000) bad = 1} END {exit bad}' "$work/ms" || fail "a process was killed late: $(cat "$work/ms")"
[ "$(awk '{print $3}' "$work/ms" | sort -n | head -1)" -lt 700 ] || fail "kills wait for a grace period: $(cat "$work/ms")"
wait_for 20 cmp -s "$work/A/f" "$store/f" || fail "file and under-store differ"
echo hello > "$work/A/after" && [ "$(cat "$store/after")" = hello ] || fail "the mount does not go on"
# strangers
before=$(wc -l < "$work/master.log")
python3 - $port <<'END'
import socket, sys
for i in range(300):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.sendall(b"GET / HTTP/1.1\r\nHost: tarn\r\nAccept: */*\r\n\r\n" * 4)
    try:
        s.recv(1000)
    except OSError:
        pass
    s.close()
END
after=$(wc -l < "$work/master.log")
[ $((after - before)) -le 60 ] || fail "300 strangers made $((after - before)) lines of log"
grep -q 'did not say a tarn hello' "$work/master.log" || fail "strangers are not mentioned"
term mount-A || fail "the mount's end"
echo ok
