#!/bin/bash
# The shared directory does not answer (its server stands still, as NFS mounted hard does): every command that is given it ends
# with an error within a bound, a master that is started waits for it; and both work when it answers.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
start_through "$work/behind" shared
cat > "$TARN_CONFIG" <<END
{"master": {"listen": "127.0.0.1:$port", "dir": "$work/own", "memory": "128MiB"},
 "journal": {"type": "zk", "id": 1, "zk": {"connect": "127.0.0.1:1/t", "shared_dir": "$work/shared"}}}
END
sleep 1.2 # what the kernel knows of the directory is old by then
kill -STOP "${pids[through]}"
n=0
says() { # says COMMAND...: in the background, all at once; what it said is judged below
    n=$((n + 1))
    (timeout -s KILL 25 "$@" > "$work/said-$n" 2>&1; echo $? > "$work/status-$n"; echo "$*" > "$work/did-$n") &
    waits+=($!)
}
waits=()
dir=$work/shared
says tarn master --check
says tarn journal verify
says tarn journal verify "zk:$dir" --set journal.type=local
says tarn journal verify "$dir"
says tarn journal dump "zk:$dir"
says tarn journal migrate --from "zk:$dir" --to "local:$work/l"
says tarn journal migrate --from "local:$work/l" --to "zk:$dir/new"
says tarn journal backup "$work/b" --from "zk:$dir"
says tarn journal restore "$work/b" --to "zk:$dir/new"
says tarn journal bootstrap
says tarn journal verify --json "$dir"
wait "${waits[@]}"
for i in $(seq $n); do
    [ "$(cat "$work/status-$i")" = 1 ] || fail "$(cat "$work/did-$i"): status $(cat "$work/status-$i"): $(cat "$work/said-$i")"
    grep -q "$dir.* does not answer (waited 10 s): is the server that it is mounted from there" "$work/said-$i" ||
        fail "$(cat "$work/did-$i"): says $(cat "$work/said-$i")"
done
python3 -m json.tool < <(grep -v '^tarn' "$work/said-$n") > /dev/null || fail "no JSON: $(cat "$work/said-$n")"

tarn master > "$work/master.log" 2>&1 &
pids[master]=$!
wait_for 20 grep -q "$dir does not answer: waiting for it" "$work/master.log" || fail "a master says nothing: $(cat "$work/master.log")"
kill -CONT "${pids[through]}"
wait_for 20 grep -q 'there is no journal in the shared directory' "$work/master.log" || fail "it does not go on: $(cat "$work/master.log")"
wait "${pids[master]}"
unset "pids[master]"
timeout 20 tarn journal verify > "$work/said" 2>&1
grep -q 'does not answer' "$work/said" && fail "it answers, and: $(cat "$work/said")"
echo ok
