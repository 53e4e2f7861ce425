#!/bin/bash
# Every process keeps to its memory (master.memory, worker.memory, client.memory), the smallest that is
# allowed, under more than would fit: many files, many readers and writers, answers that nobody reads.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
MiB=1048576
slack=$((24 * MiB)) # code, libraries, stacks
config through 0 '"client": {"deadline": "20s", "memory": "32MiB"}'
python3 - "$TARN_CONFIG" <<'END'
import json, sys
c = json.load(open(sys.argv[1]))
c["master"]["memory"] = "128MiB"
c["worker"].update({"memory": "64MiB"})
json.dump(c, open(sys.argv[1], "w"))
END
honours() { # honours NAME BYTES
    local most
    most=$(awk '/^VmHWM/ {print $2 * 1024}' "/proc/${pids[$1]}/status")
    echo "$1: $((most / MiB)) MiB of $(($2 / MiB))"
    [ "$most" -le $(($2 + slack)) ] || fail "$1 used $((most / MiB)) MiB of $(($2 / MiB))"
}
start_master; start_worker 1; start_mount A
for n in 1 2 3 4; do head -c 16000000 /dev/urandom > "$store/big$n"; done
mkdir "$store/many" && (cd "$store/many" && seq 3000 | sed 's/^/a-name-that-takes-some-room-/' | xargs touch)
jobs=()
for n in 1 2 3 4; do
    cmp "$work/A/big$n" "$store/big$n" & jobs+=($!)
    dd if=/dev/zero of="$work/A/new$n" bs=1M count=20 status=none & jobs+=($!)
done
find "$work/A/many" -size +1 & jobs+=($!)
(mkdir "$work/A/d" && cd "$work/A/d" && seq 200 | xargs touch) & jobs+=($!)
for j in "${jobs[@]}"; do wait $j || fail "a job under little memory"; done
# sixty-four writers at once, whom no worker answers
kill -STOP "${pids[worker1]}"
for n in $(seq 64); do head -c 1M /dev/zero > "$work/A/stuck$n" & jobs+=($!); done
sleep 3
kill -CONT "${pids[worker1]}"
for n in $(seq 64); do wait ${jobs[-$n]} || fail "a writer whose worker was stopped for 3 s"; done
honours master $((128 * MiB)); honours worker1 $((64 * MiB)); honours mount-A $((32 * MiB))
term mount-A || fail "the mount did not end well"
echo ok
