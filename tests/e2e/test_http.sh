#!/bin/bash
# Health, readiness and metrics of a master, a worker and a mount over HTTP; logs: level, file, format.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
M=127.0.0.1:$((port + 10)) W=127.0.0.1:$((port + 11)) A=127.0.0.1:$((port + 12))
web() { curl -s --max-time 20 -o "$work/body" -w '%{http_code}' "$@"; }
is() { # is CODE CURL-ARGUMENTS...
    local want=$1 got; shift
    got=$(web "$@")
    [ "$got" = "$want" ] || fail "$*: $got, not $want: $(head -c 300 "$work/body")"
}
says() { # says CODE PATTERN CURL-ARGUMENTS...: within 20 s
    local want=$1 pattern=$2; shift 2
    for i in $(seq 100); do
        [ "$(web "$@")" = "$want" ] && grep -q "$pattern" "$work/body" && return
        sleep 0.2
    done
    fail "$*: no $want with $pattern, last $(head -c 300 "$work/body")"
}
value() { python3 "$here/tests/e2e/prom.py" --values "$work/$1.prom" "$2" | awk 'NR == 1 {print $NF}'; }
scrape() { web "http://$1/metrics" > /dev/null; cp "$work/body" "$work/$2.prom"; }
command -v curl > /dev/null || skip "curl is not installed"
config through 1s

# a worker that no master takes in lives, and is not ready
tarn worker --set "worker.listen=127.0.0.1:$((port + 1))" --set "worker.dir=$work/worker1" --set worker.http=$W \
    --set "log.file=$work/w.log" --set log.format=json >> "$work/worker1.log" 2>&1 &
pids[worker1]=$!
says 503 "no master answers" http://$W/readyz
is 200 http://$W/healthz
start_master --set master.http=$M
says 200 '"masters_heard": 1' http://$W/readyz
start_mount A --set mount.http=$A
says 200 '"role": "leader"' http://$M/readyz
says 200 '"mounted": true' http://$A/readyz

# what is done is counted
head -c 3000000 /dev/urandom > "$store/big"
cmp "$work/A/big" "$store/big" || fail "read wrong"
echo hello > "$work/A/f"
tarn fs cat /big > "$work/copy" && cmp "$work/copy" "$store/big" || fail "read wrong again"
tarn status > /dev/null
scrape $M master; scrape $W worker; scrape $A mount
python3 "$here/tests/e2e/prom.py" "$work"/{master,worker,mount}.prom || fail "/metrics is not as it should be"
if command -v promtool > /dev/null; then
    for n in master worker mount; do promtool check metrics < "$work/$n.prom" || fail "promtool on $n"; done
fi
[ "$(value master tarn_journal_syncs_total)" -gt 0 ] || fail "no syncs"
[ "$(value master tarn_master_workers_alive)" = 1 ] || fail "not one worker alive"
[ "$(value worker tarn_worker_ufs_read_bytes_total)" -ge 3000000 ] || fail "the worker read nothing"
[ "$(value mount tarn_client_read_bytes_total)" -ge 3000000 ] 2> /dev/null ||
    [ "$(value mount tarn_mount_passthrough_opened_total)" -gt 0 ] || fail "the mount read nothing"
[ "$(value mount tarn_mount_requests_total)" -gt 5 ] || fail "the mount did nothing"
python3 "$here/tests/e2e/prom.py" --values "$work/master.prom" tarn_rpc_server_duration_seconds_count | grep '^method=fs [1-9]' > /dev/null || fail "no requests timed"
# both ways to ask say the same (of what asking does not change)
for k in meta.inodes:tarn_master_inodes workers.alive:tarn_master_workers_alive total.capacity:tarn_cluster_capacity_bytes; do
    scrape $M master
    a=$(tarn status --all | awk -v k="${k%:*}" '$1 == k {print $2}') b=$(value master "${k#*:}")
    [ "$a" = "$b" ] || fail "$k: $a and $b"
done

# what the alerts come to
if command -v promtool > /dev/null; then
    promtool test rules "$here/tests/e2e/alerts.yml" > "$work/alerts.log" 2>&1 || fail "alerts: $(cat "$work/alerts.log")"
else
    echo "the alerts are not tried: no promtool here (Debian: prometheus)"
fi

# the rest of HTTP
is 404 http://$M/nothing
is 405 -X POST -d x http://$M/metrics
is 200 -I http://$M/metrics
is 200 "http://$M/metrics?a=b"
expect_fail() { "$@" > "$work/out" 2>&1 && fail "$* went well"; }
expect_fail timeout 20 tarn master --set master.http=$M --set master.listen=127.0.0.1:$((port + 5)) --set master.dir="$work/m2"
grep -q "cannot listen on $M" "$work/out" || fail "a port in use: $(cat "$work/out")"
expect_fail timeout 20 tarn master --set master.http=0.0.0.0:$((port + 13)) --set master.listen=127.0.0.1:$((port + 5)) --set master.dir="$work/m2"
grep -q "not loopback" "$work/out" || fail "all interfaces: $(cat "$work/out")"

# logs: one object a line; the file moves; the level changes
python3 - "$work/w.log" <<'END' || fail "log.format=json: $(cat "$work/w.log")"
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1], encoding="utf-8")]
assert lines and all(l["role"] == "worker" and l["id"] and l["time"] and l["level"] for l in lines), lines
END
mv "$work/w.log" "$work/w.log.1"
kill -HUP "${pids[worker1]}"
wait_for 10 grep -q "opened again" "$work/w.log" || fail "SIGHUP did not open the log again"
kill -USR1 "${pids[master]}"
wait_for 10 grep -q "log.level is debug now" "$work/master.log" || fail "SIGUSR1: $(cat "$work/master.log")"
says 200 'tarn_log_level{level="debug"} 1' http://$M/metrics
kill -USR2 "${pids[master]}" # one at a time: two that come together are one
says 200 'tarn_log_level{level="info"} 1' http://$M/metrics
kill -USR2 "${pids[master]}"
says 200 'tarn_log_level{level="warn"} 1' http://$M/metrics

# who loses his master says so
kill9 master
says 503 "no master" http://$A/readyz
says 503 "no master answers" http://$W/readyz
is 200 http://$A/healthz
start_master --set master.http=$M
says 200 '"ready": true' http://$A/readyz
says 200 '"ready": true' http://$W/readyz
term mount-A || fail "the mount's status"
is 000 http://$A/healthz
term worker1 || fail "the worker's status"
term master || fail "the master's status"
echo ok
