#!/bin/bash
# tests/systemd/units.sh - runs as a service of the systemd that boot.sh starts: docs/operations.md, step by step.
set -u
cd /check
fail() {
    echo "FAIL: $*"
    systemctl --no-pager --full status 'tarn-*' 2>&1 | tail -60
    journalctl --no-pager -u 'tarn-*' 2> /dev/null | tail -60
    exit 1
}
wait_for() { # wait_for SECONDS COMMAND...
    local until=$((SECONDS + $1)); shift
    while ! "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $until ] || return 1
        sleep 0.1
    done
}
say() { echo "$SECONDS s: $*"; }
[ "$(cat /proc/1/comm)" = systemd ] || fail "the first process is $(cat /proc/1/comm)"
say "$(systemctl --version | head -1) is the first process"

# --- as docs/operations.md installs them
install -m 755 tarn /usr/bin/tarn
install -m 644 deploy/systemd/*.service /etc/systemd/system/
install -m 644 deploy/systemd/tarn.sysusers /usr/lib/sysusers.d/tarn.conf && systemd-sysusers || fail "systemd-sysusers"
install -m 644 deploy/systemd/tarn.tmpfiles /usr/lib/tmpfiles.d/tarn.conf && systemd-tmpfiles --create || fail "systemd-tmpfiles"
systemctl daemon-reload
id tarn || fail "no user tarn"
out=$(systemd-analyze verify --man=no tarn-master@a.service tarn-worker@a.service tarn-mount@srv-mnt.service 2>&1)
! grep tarn <<< "$out" || fail "systemd-analyze: $out"

# --- three masters, a worker and a mount on this host
mkdir -p /srv/data /srv/mnt && chown tarn: /srv/data
for n in 1 2 3; do
    cat > /etc/tarn/m$n.json <<END
{"journal": {"type": "raft", "id": $n, "members": "1@127.0.0.1:7701,2@127.0.0.1:7702,3@127.0.0.1:7703"},
 "master": {"listen": "127.0.0.1:770$n", "memory": "256MiB", "lease": "2s"}, "log": {"file": "/var/log/tarn/m$n.log"},
 "worker": {"listen": "127.0.0.1:7710", "capacity": "32MiB"},
 "mounts": [{"path": "/", "ufs": "dir:/srv/data", "mode": "through", "check_interval": "1s"}]}
END
done
sed 's/"id": 1, //; s/m1.log/other.log/' /etc/tarn/m1.json > /etc/tarn/tarn.json
cp /etc/tarn/tarn.json /etc/tarn/w.json
chgrp tarn /etc/tarn/*.json && chmod 640 /etc/tarn/*.json
id=
install -d -o tarn -g tarn /var/lib/tarn
for n in 1 2 3; do
    install -d -o tarn -g tarn -m 700 /var/lib/tarn/master-m$n
    runuser -u tarn -- tarn journal bootstrap -q -c /etc/tarn/m$n.json --set master.dir=/var/lib/tarn/master-m$n ${id:+--cluster $id} > /tmp/id || fail "bootstrap $n"
    id=$(cat /tmp/id)
done
export TARN_CONFIG=/etc/tarn/tarn.json
t=$SECONDS
systemctl start tarn-master@m1 tarn-master@m2 tarn-master@m3 tarn-worker@w tarn-mount@srv-mnt || fail "start"
for u in tarn-master@m1 tarn-master@m2 tarn-master@m3 tarn-worker@w tarn-mount@srv-mnt; do
    systemctl is-active -q $u || fail "$u is $(systemctl is-active $u)"
done
say "five units started in $((SECONDS - t)) s"
status() { tarn journal status --json 2> /dev/null | tr -d ' \t\n'; }
whole() { status | grep -q '"voters_up":3,"tolerates":1,"ok":true'; }
leader() { status | grep -o '"leader":[0-9]*' | cut -d: -f2; }
wait_for 60 whole || fail "no group: $(tarn journal status 2>&1)"
[ "$(ps -o user= -p "$(systemctl show -P MainPID tarn-master@m1)")" = tarn ] || fail "the master does not run as tarn"
echo hello > /srv/mnt/f && chown 1234:5678 /srv/mnt/f && chmod 4711 /srv/mnt/f || fail "writing through the mount"
[ "$(stat -c %u:%g:%a /srv/data/f)" = 1234:5678:4711 ] || fail "below: $(stat -c %u:%g:%a /srv/data/f)"

# --- the leader is stopped: it ends cleanly, and another leads at once
old=$(leader)
(i=0; while [ ! -e /tmp/stop ]; do i=$((i + 1)); echo $i > /srv/mnt/n-$i && date +%s%N >> /tmp/acked || echo $i >> /tmp/refused; done) & writing=$!
wait_for 30 test -s /tmp/acked || fail "nothing can be written"
from=$(date +%s%N)
systemctl stop tarn-master@m$old || fail "stop of $old"
n=$(wc -l < /tmp/acked)
wait_for 30 eval '[ "$(wc -l < /tmp/acked)" -ge $((n + 20)) ]' || fail "nothing is written after $old was stopped"
[ "$(systemctl show -P Result -P ExecMainStatus -P ActiveState tarn-master@m$old | tr '\n' ' ')" = "success 0 inactive " ] ||
    fail "the end of $old: $(systemctl show -P Result -P ExecMainStatus -P ActiveState tarn-master@m$old | tr '\n' ' ')"
grep -q "another one leads now" /var/log/tarn/m$old.log || fail "the leader did not hand over: $(tail -5 /var/log/tarn/m$old.log)"
say "the leader was stopped: it took $(awk -v f="$from" '$1 > f {if ($1 - l > w && l) w = $1 - l} {l = $1} END {printf "%d", w / 1000000}' /tmp/acked) ms at the most between two writes"
systemctl start tarn-master@m$old || fail "start of $old"
wait_for 60 whole || fail "$old does not join: $(tarn journal status 2>&1)"

# --- one that dies is started again; one that hangs is ended by the watchdog, and started again
dead=$(leader) pid=$(systemctl show -P MainPID tarn-master@m$dead)
kill -9 "$pid"
again() { [ "$(systemctl is-active "$1")" = active ] && [ "$(systemctl show -P MainPID "$1")" != "$2" ]; }
wait_for 60 again tarn-master@m$dead "$pid" || fail "$dead is not started again"
wait_for 60 whole || fail "$dead does not join again: $(tarn journal status 2>&1)"
mkdir -p /etc/systemd/system/tarn-worker@w.service.d && printf '[Service]\nWatchdogSec=3\n' > /etc/systemd/system/tarn-worker@w.service.d/x.conf
systemctl daemon-reload && systemctl restart tarn-worker@w || fail "restart of the worker"
pid=$(systemctl show -P MainPID tarn-worker@w)
sleep 5
[ "$(systemctl show -P MainPID tarn-worker@w)" = "$pid" ] || fail "a worker that is well was ended by the watchdog"
kill -STOP "$pid"
wait_for 60 again tarn-worker@w "$pid" || fail "a worker that hangs is not started again"
say "kill -9 and the watchdog: started again"

# --- logs are rotated
mv /var/log/tarn/m$old.log /var/log/tarn/m$old.log.1
sh -c "$(sed -n '/postrotate/,/endscript/{//!p}' deploy/systemd/tarn.logrotate)" || fail "postrotate"
wait_for 20 test -e /var/log/tarn/m$old.log || fail "no new log after SIGHUP"
sleep 1
for u in tarn-master@m1 tarn-master@m2 tarn-master@m3 tarn-worker@w tarn-mount@srv-mnt; do
    systemctl is-active -q $u || fail "$u is $(systemctl is-active $u) after SIGHUP"
done
kill -USR1 "$(systemctl show -P MainPID tarn-master@m$old)" # one level more: a line in the new file
wait_for 20 test -s /var/log/tarn/m$old.log || fail "nothing is written to the new log"

# --- all is stopped
touch /tmp/stop; wait $writing
[ ! -e /tmp/refused ] || fail "refused: $(cat /tmp/refused)"
for u in tarn-mount@srv-mnt tarn-worker@w tarn-master@m1 tarn-master@m2 tarn-master@m3; do
    systemctl stop $u || fail "stop of $u"
    [ "$(systemctl show -P Result -P ActiveState $u | tr '\n' ' ')" = "success inactive " ] || fail "$u: $(systemctl show -P Result -P ActiveState $u | tr '\n' ' ')"
done
grep -q ' /srv/mnt ' /proc/mounts && fail "it is mounted still"
[ "$(ls /srv/data | grep -c '^n-')" = "$(wc -l < /tmp/acked)" ] || fail "$(ls /srv/data | grep -c '^n-') files for $(wc -l < /tmp/acked) acknowledged"
say "ok: $(wc -l < /tmp/acked) files"
