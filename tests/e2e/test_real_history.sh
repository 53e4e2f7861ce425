#!/bin/bash
# tests/e2e/test_real_history.sh BUILD - what two mounts of a real cluster ask and are answered while
# the leading master is killed is a history that check-history calls linearizable; with one answer
# altered it is refused.  A history that cannot be written is told of.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/group.sh"
need_fuse
group_up 128MiB --mode through
led() { [ -n "$(leader)" ]; }
h=$work/history.jsonl

mkdir "$store/before" # was there before anybody looked
tarn fs mkdir --set client.history="$h" /dir || fail "tarn fs"
for m in one two; do
    start_mount $m --history "$h" -o attr_timeout=0,entry_timeout=0,negative_timeout=0 --set client.memory=128MiB
done

cat > "$work/load.py" << 'END'
import errno, os, random, sys, threading, time
dirs, stop, until = sys.argv[1:-1], sys.argv[-1], time.time() + 120
done = [0]
def load(d, n):
    r = random.Random(n)
    i = 0
    while not os.path.exists(stop) and time.time() < until:
        i += 1
        a, b = (f"{d}/dir/n{r.randrange(3)}" for _ in "ab")
        try:
            what = r.randrange(9)
            if what == 0: os.mkdir(a)
            elif what == 1: os.rmdir(a)
            elif what == 2: os.rename(a, b)
            elif what == 3: os.stat(a)
            elif what == 4: os.chmod(d + "/before", r.randrange(0o777))
            elif what == 5: os.stat(d + "/before")
            elif what == 6: os.setxattr(d + "/dir", f"user.k{i % 2}", f"{n}-{i} \"\\".encode() + b"\xff" * (i % 3 == 0))
            elif what == 7: os.getxattr(d + "/dir", f"user.k{i % 2}")
            elif i % 20: os.listxattr(d + "/dir")
            else: os.removexattr(d + "/dir", f"user.k{i % 2}")
            done[0] += 1
        except OSError as e:
            if e.errno in (errno.EEXIST, errno.ENOENT, errno.ENODATA): done[0] += 1
            elif e.errno not in (errno.EINVAL, errno.EIO, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR, errno.ESTALE): raise
        if n == 0: open(stop + ".n", "w").write(str(done[0]))
        time.sleep(0.003)
threads = [threading.Thread(target=load, args=(d, n)) for n, d in enumerate(dirs * 2)]
for t in threads: t.start()
for t in threads: t.join()
END
python3 "$work/load.py" "$work/one" "$work/two" "$work/stop" > "$work/load.log" 2>&1 & loading=$!
did() { [ "$(cat "$work/stop.n" 2> /dev/null || echo 0)" -ge "$1" ] 2> /dev/null; }
wait_for 40 did 400 || fail "nothing goes on: $(cat "$work/load.log")"
old=$(leader)
pid=$(master_pid "$old")
[ "$old" ] && [ "$pid" ] || fail "who leads? ($old $pid)"
n=$(cat "$work/stop.n")
kill -9 "$pid"
wait_for 60 did $((n + 400)) || fail "nothing goes on without $old: $(cat "$work/load.log")"
wait_for 20 led && [ "$(leader)" != "$old" ] || fail "$old leads still"
touch "$work/stop"
wait $loading || fail "the load: $(cat "$work/load.log")"
[ ! -s "$work/load.log" ] || fail "the load: $(cat "$work/load.log")"
for m in one two; do term mount-$m || fail "mount $m ended with $?"; done

check() { timeout 120 tarn-sim check-history "$@" > "$work/out" 2> "$work/err"; }
check "$h" || fail "status $?: $(head -40 "$work/out" "$work/err")"
python3 - "$h" "$work/altered" << 'END' || fail "what is in the history"
import collections, json, sys
lines = open(sys.argv[1]).read().splitlines()
events = [json.loads(l) for l in lines]
assert [e["by"].split()[0] for e in events if "start" in e] == ["tarn", "mount", "mount"], "who"
count = collections.Counter((e["key"].split()[0], e["f"], e["type"]) for e in events if "key" in e)
for want in [("name", "cas", "ok"), ("name", "read", "ok"), ("name", "write", "ok"), ("mode", "write", "ok"),
             ("mode", "read", "ok"), ("xattr", "write", "ok"), ("xattr", "read", "ok")]:
    assert count[want] >= 5, (want, count)
times = [e["time"] for e in events if "time" in e]
assert times[-1] > times[0], "times"
# the last read of an attribute's value answers with the first one that was set
first = {}
for i, e in enumerate(events):
    if e.get("key", "").startswith("xattr") and e["type"] == "ok" and e["value"] is not None:
        if e["f"] == "write": first.setdefault(e["key"], e["value"])
        elif e["f"] == "read" and first.get(e["key"], e["value"]) != e["value"]: last = i
events[last]["value"] = first[events[last]["key"]]
lines[last] = json.dumps(events[last])
open(sys.argv[2], "w").write("\n".join(lines) + "\n")
END
check "$work/altered"
[ $? = 3 ] && grep -q "NOT linearizable" "$work/out" && grep -q "no order explains" "$work/out" || fail "a lie is not noticed: $(cat "$work/out" "$work/err")"

# one that cannot be written
start_mount three --history /dev/full
ls "$work/three" > /dev/null || fail "the mount does not serve"
term mount-three
[ $? = 1 ] || fail "the end of a mount whose history is not whole"
grep -q "/dev/full ends here, and is not whole: No space left" "$work/mount-three.log" || fail "nobody was told: $(cat "$work/mount-three.log")"
tarn fs ls --set client.history=/dev/full / 2>&1 | grep -q "is not whole" || fail "tarn fs does not tell"
tarn fs ls --set client.history="$work/none/h" / > "$work/out" 2>&1
[ $? = 1 ] && grep -q "No such file" "$work/out" || fail "a history in no directory: $(cat "$work/out")"
echo "ok: $(wc -l < "$h") lines"
