# tests/e2e/group.sh - sourced after lib.sh: three masters and a worker by `tarn up`, and what is asked of them.
unset TARN_CONFIG
group_up() { # group_up MEMORY [options of tarn up]: of each master; the log is up.log
    local memory=$1; shift
    : > "$work/up.log" # what an earlier one said is not this one's
    tarn up --under-store "$store" --masters 3 --workers 1 --dir "$work/up" \
        --set "master.listen=127.0.0.1:$port" --set "worker.listen=127.0.0.1:$((port + 10))" \
        --set master.memory="$memory" --set worker.capacity=64MiB "$@" > "$work/up.log" 2>&1 &
    pids[up]=$!
    wait_for 90 grep -q "is up" "$work/up.log" || fail "the cluster did not start"
    export TARN_CONFIG=$work/up/tarn.json
    wait_for 60 whole || fail "three masters are not a group: $(tarn journal status 2>&1)"
}
json() { tarn journal status --json "$@" 2> /dev/null | tr -d ' \t\n'; }
whole() { json | grep -q '"voters_up":3,"tolerates":1,"ok":true'; }
two() { json | grep -q '"voters_up":2,"tolerates":0,"ok":true'; }
leader() { json | grep -o '"leader":[0-9]*' | cut -d: -f2; }
master_pid() { pgrep -f "tarn master .*journal.id=$1 .*$work/" | head -1; } # master_pid ID
expect() { # expect STATUS PATTERN COMMAND...
    local want=$1 pattern=$2 out status; shift 2
    out=$(timeout 60 "$@" 2>&1); status=$?
    [ $status = "$want" ] || fail "$*: status $status, not $want: $out"
    grep -qE -- "$pattern" <<< "$out" || fail "$*: says \"$out\", not $pattern"
}
