#!/bin/bash
# Master and worker are stopped (SIGSTOP): a process that waits for an answer can be killed at once, by
# SIGKILL and by Ctrl-C, whatever it waits for; afterwards everything goes on.  And strangers on the
# ports do not fill the logs.  STUCK_ALL=1: every other call that waits, too (tests/nightly).
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
time.sleep(180)" & opener=$!
    wait_for 10 test -e "$work/opened.$sig"
    [ "${STUCK_ALL:-}" ] && {
        for i in 1 2 3 4 5 6; do for k in h t x; do head -c 5000000 /dev/urandom > "$work/A/$k$i$sig"; done; ln -s x "$store/l$i$sig"; done
        [ -e "$work/A/g" ] || echo x > "$work/A/g"
        exec 30<> "$work/A/f" 31>> "$work/A/f" 32< "$work/A"
        sleep 3 # what was just made is not cached by then
    }
    kill -STOP "${pids[master]}"
    hang $sig mkdir "begun(); os.mkdir(m + '/new-$sig')"
    hang $sig stat "begun(); os.stat(m + '/none-$sig')"
    hang $sig list "begun(); os.listdir(m + '/d')"
    hang $sig cat "begun(); os.execvp('cat', ['cat', m + '/unread-$sig'])"
    [ $sig = KILL ] || hang $sig handled "signal.signal(signal.SIGINT, signal.default_int_handler); begun(); os.stat(m + '/none-h')" 2> "$work/handled.err"
    hang $sig unlink "begun(); os.unlink(m + '/gone-$sig')"
    hang $sig rename "begun(); os.rename(m + '/d', m + '/e')"
    [ "${STUCK_ALL:-}" ] && {
        # the descriptors were opened before: 30 and 31 (append) of the file, 32 of the root
        hang $sig truncate "begun(); os.truncate(m + '/t1$sig', 5)"
        hang $sig chmod "begun(); os.chmod(m + '/t2$sig', 0o600)"
        hang $sig chown "begun(); os.chown(m + '/t3$sig', 5, 5)"
        hang $sig utime "begun(); os.utime(m + '/t4$sig')"
        hang $sig setxattr "begun(); os.setxattr(m + '/x1$sig', 'user.a', b'x')"
        hang $sig getxattr "begun(); os.getxattr(m + '/x2$sig', 'user.a')"
        hang $sig listxattr "begun(); os.listxattr(m + '/x3$sig')"
        hang $sig statvfs "begun(); os.statvfs(m)"
        hang $sig readlink "begun(); os.readlink(m + '/l1$sig')"
        hang $sig symlink "begun(); os.symlink('a', m + '/newl$sig')"
        hang $sig link "begun(); os.link(m + '/g', m + '/g2$sig')"
        hang $sig mknod "begun(); os.mkfifo(m + '/fifo$sig')"
        hang $sig create "begun(); os.open(m + '/c$sig', os.O_CREAT | os.O_EXCL | os.O_WRONLY)"
        hang $sig otrunc "begun(); os.open(m + '/t5$sig', os.O_TRUNC | os.O_WRONLY)"
        hang $sig owrite "begun(); os.open(m + '/t6$sig', os.O_WRONLY)"
        hang $sig access "begun(); os.access(m + '/none9$sig', os.R_OK)"
        hang $sig exec "begun(); os.execv(m + '/f1$sig', ['x'])"
        hang $sig chdir "begun(); os.chdir(m + '/nodir$sig')"
        hang $sig fsyncdir "begun(); os.fsync(32)"
        hang $sig append "begun(); os.write(31, b'x')"
        hang $sig seekhole "begun(); os.lseek(30, 0, 4)"
    }
    kill -CONT "${pids[master]}"
    wait_for 20 test -e "$work/A/f" || fail "the mount does not go on"
    wait_for 20 test -d "$work/A/d" || mv "$work/A/e" "$work/A/d" || fail "the directory is gone"
    kill -STOP "${pids[worker1]}"
    hang $sig read "fd = os.open(m + '/f', os.O_RDWR); begun(); os.pread(fd, 1000000, 0)"
    hang $sig write "fd = os.open(m + '/f', os.O_RDWR); begun(); os.pwrite(fd, b'x' * 1000000, 0)"
    [ "${STUCK_ALL:-}" ] && {
        hang $sig fsync "fd = os.open(m + '/f', os.O_RDWR); os.pwrite; begun(); os.fsync(fd); os.fsync(fd)"
        hang $sig fallocate "fd = os.open(m + '/f', os.O_RDWR); begun(); os.posix_fallocate(fd, 0, 100000)"
        hang $sig mmap "import mmap; fd = os.open(m + '/h1$sig', os.O_RDONLY); mm = mmap.mmap(fd, 0, prot=mmap.PROT_READ); begun(); print(mm[2000000])"
        hang $sig mapwrite "import mmap; fd = os.open(m + '/h2$sig', os.O_RDWR); mm = mmap.mmap(fd, 0); begun(); mm[4000000] = 1; mm.flush()"
        hang $sig sendfile "import socket; fd = os.open(m + '/h3$sig', os.O_RDONLY); a, b = os.pipe(); begun(); os.splice(fd, b, 60000) if hasattr(os, 'splice') else os.read(fd, 60000)"
        hang $sig copyrange "fd = os.open(m + '/h4$sig', os.O_RDONLY); fe = os.open(m + '/f', os.O_RDWR); begun(); os.copy_file_range(fd, fe, 1000000)"
    }
    kill -CONT "${pids[worker1]}"
    exec 30>&- 31>&- 32>&-
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
