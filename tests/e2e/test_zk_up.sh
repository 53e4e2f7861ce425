#!/bin/bash
# `tarn up --journal zk`: a ZooKeeper server, three masters with one journal in a shared directory, a worker.
# Files are written through the mount while the leader is killed, another one stands still for longer than its
# session, and ZooKeeper is killed.  Then the shared directory fills up.  Nothing acknowledged is lost.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/zookeeper.sh"
. "$(dirname "$0")/group.sh"
unset TARN_CONFIG

# what cannot work says so before anything is made
mkdir "$work/bin"
expect 1 'there is no java here: apt-get install zookeeper' env PATH="$work/bin" "$build/tarn" up --journal zk --under-store "$store" --dir "$work/none"
expect 2 '"quorum" is not one of local\|raft\|zk' tarn up --journal quorum --under-store "$store" --dir "$work/none"
expect 4 'shared_dir must name' tarn status --set journal.type=zk --set journal.zk.connect=h/t
expect 4 'journal.zk.connect: .*one comma too many' tarn status --set journal.type=zk --set journal.zk.connect=h,,i/t
expect 4 'did you mean "journal.zk.connect"' tarn status --set journal.zk.conect=h
expect 3 'no ZooKeeper server answers at 127.0.0.1:1' tarn zk ls --connect 127.0.0.1:1 -t 1s
expect 3 'there is no address for no.such.invalid, nor.this.invalid: check the name' tarn zk ls --connect no.such.invalid,127.0.0.1:1,nor.this.invalid/t -t 1s
expect 3 'no.such.invalid:2181 +does not serve: its name has no address' tarn zk ping --connect no.such.invalid,127.0.0.1:1 -t 1s
mkdir "$work/empty" && : > "$work/file"
expect 2 '"zk:" names no directory: zk:DIR' tarn journal verify zk:
expect 1 "verify: $work/file: not a directory$" tarn journal verify "zk:$work/file"
expect 1 "$work/empty: there is no journal here" tarn journal backup "$work/b" --from "$work/empty"
expect 1 'nowhere: No such file or directory: is the shared storage mounted' tarn journal migrate --from "zk:$work/nowhere" --to "local:$work/l"
need_zookeeper
need_fuse
expect 1 'nowhere: No such file or directory: it is not made; is the shared storage mounted' tarn up --journal zk --under-store "$store" --dir "$work/none" --set journal.zk.shared_dir=nowhere
expect 1 "dir $work/file: not a directory" tarn up --journal zk --under-store "$store" --dir "$work/file"

whole() { json | grep -q '"voters_up":3,"tolerates":2,"ok":true'; }
other_leads() { local n; n=$(leader) && [ "$n" ] && [ "$n" != 0 ] && [ "$n" != "$1" ]; }
zookeeper_pid() { pgrep -f "QuorumPeerMain $work/up/zookeeper/zoo.cfg" | head -1; }
role_of() { tarn journal status --json --set client.masters="127.0.0.1:$((port + $1 - 1))" --set journal.members= 2> /dev/null | tr -d ' \t\n' |
    grep -o "\"id\":$1,[^}]*" | grep -o '"role":"[a-z]*"'; }
is_standby() { [ "$(role_of "$1")" = '"role":"standby"' ]; }
http() { curl -s "http://$(grep -o "master-$1 http://[0-9.:]*" "$work/up.log" | tail -1 | cut -d/ -f3)/$2"; }
is_ready() { wait_for 10 eval "http $1 readyz | grep -q '$2'"; }
term_of() { json | grep -o '"term":[0-9]*' | head -1; }

mkdir -p "$work/mnt" "$work/up/shared"
points[up]=$work/mnt
is_small=
mount_small 320m "$work/up/shared" && is_small=1
(umask 077; echo "tarn:a secret" > "$work/auth")
start_up() {
    group_up 256MiB --journal zk --mode through --mount "$work/mnt" --set journal.zk.session=2s --set "journal.zk.auth=$work/auth" \
        --set client.deadline=20s --set journal.segment=1MiB --set journal.image_after=1MiB
}
start_up

# --- what is said of it ---
expect 0 'masters  3 of 3 answer, elected through ZooKeeper; tolerates the loss of 2 more' tarn journal status
expect 0 'room +[0-9.]+ [MGT]iB of [0-9.]+ [MGT]iB free in the shared directory' tarn journal status
expect 0 '2 127.0.0.1:[0-9]+ .*session for [0-9]+ s$' tarn journal status
expect 0 '2@127.0.0.1:[0-9]*=0 (standby|leader)' tarn journal members
expect 0 "^$(leader) 127.0.0.1:[0-9]* [0-9]+$" tarn zk get /leader
expect 0 'answers in ' tarn zk ping
expect 0 '^election$' tarn zk ls
expect 0 'ephemeral +true' tarn zk stat /leader
expect 1 '/nothing: there is no such node' tarn zk get nothing
expect 1 'no list of them: one that is started' tarn journal add "4@127.0.0.1:$port"
expect 1 'no list of them: one that is stopped' tarn journal remove 2
expect 1 'is in .*/shared already: start its masters' tarn journal bootstrap
expect 1 'has a ZooKeeper journal, and another kind' env -u TARN_CONFIG tarn up --under-store "$store" --dir "$work/up"
expect 0 'an image up to record' tarn journal snapshot --all

# would one more start? (masters run meanwhile)
check() { local status=$1 says=$2; shift 2; expect "$status" "$says" tarn master --check --set journal.id=1 --set "master.dir=$work/nine" "$@"; }
check 0 "^ok: cluster [0-9a-f]{32}: $work/up/shared is fit for its journal, and ZooKeeper answers at 127.0.0.1"
zk_at=$(grep -o '"connect":[^,}]*' "$TARN_CONFIG" | grep -o '127[0-9.:]*')
check 0 'note: journal.zk.connect: there is no address for no.such.invalid here' --set "journal.zk.connect=no.such.invalid,$zk_at/tarn"
check 3 'no ZooKeeper server answers at .*: there is no address for no.such.invalid' --set journal.zk.connect=no.such.invalid/tarn
check 3 'no ZooKeeper server answers at 127.0.0.1:1' --set journal.zk.connect=127.0.0.1:1/tarn
check 1 'does not know cluster .* there: `tarn journal bootstrap` makes the path' --set "journal.zk.connect=$(grep -o '"connect":[^,}]*' "$TARN_CONFIG" | grep -o '127[0-9.:]*')/other"
check 1 'there is no journal \(no file "fence"\): is the shared storage mounted' --set "journal.zk.shared_dir=$work/bin"
check 1 'shared_dir .*/nowhere: No such file or directory: is the shared storage mounted' --set "journal.zk.shared_dir=$work/nowhere"
expect 4 'journal.id is not set' tarn master --check --set journal.id=0 --set "master.dir=$work/nine"

# every master tells how large the one log is
same_log() { [ "$(json | grep -o '"log_bytes":[1-9][0-9]*' | sort | uniq -c | awk '{print $1}')" = 3 ]; }
wait_for 20 same_log || fail "not one log: $(tarn journal status --json 2>&1)"

# its masters run: nothing takes the directory for one of a stopped journal, here or seen from another host
# (a copy at which no master holds a lock, and masters that cannot be asked)
for what in "verify" "dump" "verify zk:$work/up/shared" "migrate --from zk:$work/up/shared --to local:$work/l --dry-run" "backup $work/b --from zk:$work/up/shared"; do
    expect 1 'a running master has it; stop that first' tarn journal $what
done
cp -r --sparse=always "$work/up/shared" "$work/copy"
elsewhere="--set journal.zk.shared_dir=$work/copy --set journal.members= --set client.masters=127.0.0.1:1"
expect 1 "master [123] at 127.0.0.1:[0-9]* runs, in this cluster: it has a node in ZooKeeper" tarn journal migrate --from "zk:$work/copy" --to "local:$work/l" --dry-run $elsewhere
expect 1 "master [123] at 127.0.0.1:[0-9]* runs, in this cluster" tarn journal backup "$work/b" --from "zk:$work/copy" $elsewhere
expect 0 'would migrate zk:' tarn journal migrate --from "zk:$work/copy" --to "local:$work/l" --dry-run --force $elsewhere
expect 0 'is in no configuration here.*so ZooKeeper is not asked' tarn journal migrate --from "zk:$work/copy" --to "local:$work/l" --dry-run --set journal.members= --set client.masters=127.0.0.1:1
rm -rf "$work/copy"

# one that is called leads at once; one who may not is not elected, and says why
new=$(($(leader) % 3 + 1))
expect 0 "member $new at .* leads" tarn journal elect $new
[ "$(leader)" = $new ] || fail "$new does not lead, it is $(leader)"
expect 1 '9 is no member' tarn journal elect 9
expect 1 'ZooKeeper refuses access' tarn zk get /leader --set journal.zk.auth=me:wrong
tarn master --set journal.id=9 --set journal.members= --set "master.listen=127.0.0.1:$((port + 9))" \
    --set "master.dir=$work/nine" --set journal.zk.auth=me:wrong > "$work/nine.log" 2>&1 &
pids[nine]=$!
wait_for 15 grep -q "journal: ZooKeeper refuses '.*': its path belongs to another user" "$work/nine.log" || fail "not a word: $(cat "$work/nine.log")"
kill9 nine

# two of one number: the second one ends, and says who has it; the first one does not notice
expect 1 "number 2 is taken: 127.0.0.1:[0-9]*, pid $(master_pid 2) on .* takes part as member 2" timeout 60 \
    tarn master --set journal.id=2 --set journal.members= --set "master.listen=127.0.0.1:$((port + 9))" --set "master.dir=$work/two"
wait_for 10 whole || fail "the second one of number 2 took something along: $(tarn journal status 2>&1)"

[ "$(stat -c %a "$TARN_CONFIG")" = 600 ] || fail "others may read journal.zk.auth in tarn.json: $(stat -c %a "$TARN_CONFIG")"

# whose path it is: a master whose directory has another cluster's journal ends, one whose path is nobody's is not elected
mkdir "$work/alien"
expect 0 '[0-9a-f]{32}' tarn journal bootstrap --set "journal.zk.connect=$zk_at/alien" --set "journal.zk.shared_dir=$work/alien" --set journal.id=9 --set journal.members=
jq_less() { python3 -c 'import json,sys; c=json.load(open(sys.argv[1])); c.pop("mounts", None); json.dump(c, open(sys.argv[2], "w"))' "$TARN_CONFIG" "$1"; }
jq_less "$work/nine.json" # an under-store's lock would stop it
expect 1 'is of cluster [0-9a-f]{32}: this master ends' timeout 60 tarn master -c "$work/nine.json" --set journal.id=9 --set journal.members= \
    --set "master.listen=127.0.0.1:$((port + 9))" --set "master.dir=$work/nine" --set "journal.zk.shared_dir=$work/alien"
# what belongs to another user is named, with whose it is and what to do: at start, and when an image is to be written
chmod 711 "$work"
mkdir -p "$work/alien/images/9" "$work/nobody"
as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
nobody_up=("${as_nobody[@]}" "$build/tarn" master -c "$work/nine.json" --set journal.id=9 --set journal.members= --set "master.listen=127.0.0.1:$((port + 9))"
    --set "master.dir=$work/nobody" --set "journal.zk.shared_dir=$work/alien" --set "journal.zk.connect=$zk_at/alien" --set "journal.zk.auth=tarn:a secret")
alone=(--set journal.members= --masters "127.0.0.1:$((port + 9))")
alone_leads() { tarn journal status "${alone[@]}" 2> /dev/null | grep -q 'leader'; }
if chown -R nobody "$work/alien" "$work/nobody" 2> /dev/null && "${as_nobody[@]}" test -x "$build/tarn"; then
    chown root "$work/alien/images/9"
    theirs="$work/alien/images/9 belongs to root \(mode 0755\), and this process runs as nobody: chown -R nobody $work/alien/images/9"
    expect 1 "$theirs" "${nobody_up[@]}" --check
    expect 1 "$theirs" "${nobody_up[@]}"
    chown nobody "$work/alien/images/9"
    chown root "$work/alien/fence"
    expect 1 "$work/alien/fence belongs to root .*: chown nobody $work/alien/fence" "${nobody_up[@]}"
    chown nobody "$work/alien/fence"
    "${nobody_up[@]}" > "$work/nobody.log" 2>&1 &
    pids[nobody]=$!
    wait_for 20 alone_leads || fail "it does not lead: $(cat "$work/nobody.log")"
    chown -R root "$work/alien/images"
    expect 1 'permission denied' tarn journal snapshot "${alone[@]}"
    grep -qE "net: permission denied: $work/alien/images.* belongs to root .* runs as nobody: chown -R nobody" "$work/nobody.log" || fail "not a word: $(cat "$work/nobody.log")"
    term nobody
else
    echo "not tried: the files of another user (needs root)"
fi
echo "to zk:elsewhere, some day" > "$work/alien/moved"
check 4 'was migrated to zk:elsewhere, some day: set journal.zk.shared_dir' --set "journal.zk.shared_dir=$work/alien"
: > "$work/nine.log"
tarn master --set journal.id=9 --set journal.members= --set "master.listen=127.0.0.1:$((port + 9))" --set "master.dir=$work/nine" \
    --set "journal.zk.connect=$zk_at/nowhere" > "$work/nine.log" 2>&1 &
pids[nine]=$!
wait_for 15 grep -q 'does not know cluster .* this master is not elected' "$work/nine.log" || fail "not a word: $(cat "$work/nine.log")"
kill9 nine
expect 2 'its path has a comma or colon: it is said once' tarn zk ping --connect "$zk_at/a,$zk_at/a"
: > "$work/nine.log"
tarn master --set journal.id=9 --set journal.members= --set "master.listen=127.0.0.1:$((port + 9))" --set "master.dir=$work/nine" \
    --set journal.zk.connect=no.such.invalid,nor.this.invalid/tarn > "$work/nine.log" 2>&1 &
pids[nine]=$!
wait_for 15 grep -q 'error.*none of the 2 hosts in the connection string has an address' "$work/nine.log" || fail "not a word: $(cat "$work/nine.log")"
kill9 nine
wait_for 10 whole || fail "strangers took something along: $(tarn journal status 2>&1)"

write_files "$work/mnt" & writing=$!
wait_for 30 acked_more 5 || fail "nothing can be written"

# --- the leader is killed ---
old=$(leader)
kill -9 "$(master_pid "$old")"
n=$(acked)
wait_for 20 acked_more $((n + 10)) || fail "after the death of $old nothing is written: $(tarn journal status 2>&1)"
other_leads "$old" || fail "$old leads still"
$(grep -A 1 "master-$old ended" "$work/up.log" | tail -1) >> "$work/again.log" 2>&1 &
pids[again]=$!
wait_for 20 whole || fail "$old did not join again: $(tarn journal status 2>&1)"

# --- the leader stands still for longer than its session, and wakes up in the belief that it leads ---
old=$(leader)
kill -STOP "$(master_pid "$old")"
n=$(acked)
wait_for 20 acked_more $((n + 10)) || fail "while $old stands still nothing is written: $(tarn journal status 2>&1)"
kill -CONT "$(master_pid "$old")"
wait_for 10 is_standby "$old" || fail "$old still leads: $(role_of "$old")"
other_leads "$old" || fail "nobody leads: $(tarn journal status 2>&1)"
wait_for 20 whole || fail "not whole: $(tarn journal status 2>&1)"

# --- ZooKeeper answers nobody: who leads goes on, and everybody says that nobody could take over ---
before=$(leader),$(term_of)
all_barred() { json | grep -q '"electable":0,"voters":3,"voters_up":3,"tolerates":0,"ok":false,"warnings":\["nomasterhasaZooKeepersession'; }
kill -STOP "$(zookeeper_pid)"
wait_for 10 all_barred || fail "ZooKeeper is silent, and nobody says so: $(tarn journal status --json 2>&1)"
expect 1 'masters  3 of 3 answer, 0 can be elected through ZooKeeper; nobody would go on if the leader were lost' tarn journal status
expect 1 'warning: no master has a ZooKeeper session .*: the leader goes on, and nobody can take over from it.  Start its servers' tarn journal status
expect 0 'cannot lead: no ZooKeeper session, for [0-9]+ s' tarn status
is_ready $(($(leader) % 3 + 1)) '"ready": false.*no ZooKeeper session' || fail "a standby without a session: $(http $(($(leader) % 3 + 1)) readyz)"
is_ready "$(leader)" '"ready": true.*"degraded": "no ZooKeeper' || fail "a leader without a session: $(http "$(leader)" readyz)"
http "$(leader)" metrics | grep -q '^tarn_journal_zk_electable 0$' || fail "metrics: $(http "$(leader)" metrics | grep zk)"
kill -CONT "$(zookeeper_pid)"
wait_for 20 whole || fail "ZooKeeper is back, and: $(tarn journal status 2>&1)"

# --- ZooKeeper dies and comes back: who leads goes on without it, and nothing is lost with it ---
before=$(leader),$(term_of)
kill -9 "$(zookeeper_pid)"
n=$(acked)
wait_for 10 acked_more $((n + 10)) || fail "without ZooKeeper nothing is written"
now=$(leader),$(term_of)
tarn zk ping -t 200ms > /dev/null 2>&1 || [ "$now" = "$before" ] || fail "without ZooKeeper another one leads: $before, now $now"
wait_for 30 tarn zk ping || fail "ZooKeeper is not started again: $(cat "$work/up.log")"
n=$(acked)
wait_for 30 acked_more $((n + 10)) || fail "with ZooKeeper back nothing is written"
[ "$(leader),$(term_of)" = "$before" ] || echo "sessions were lost with it: $before led, now $(leader),$(term_of)"

touch "$work/stop"
wait $writing
acked_are_there "$work/mnt"
[ -e "$work/up/shared/images" ] || fail "no state image was written: $(ls "$work/up/shared")"
# any master answers what was acknowledged
ls "$work/mnt" | sort > "$work/names"
for i in 1 2 3; do
    tarn fs ls / --set client.read_from=any --set client.masters="127.0.0.1:$((port + i - 1)),$(grep -o '127.0.0.1:[0-9]*' <<< "$(tarn journal members)" | paste -sd,)" |
        sort | diff - "$work/names" > "$work/diff" || fail "master $i tells other names: $(head -5 "$work/diff")"
done

# --- the shared directory is full: nothing is acknowledged that is not there, and it goes on with space ---
if [ $is_small ]; then
    exec 8< "$work/mnt/f-1" || fail "f-1 cannot be opened"
    head -c 400M /dev/zero > "$work/up/shared/filler" 2> /dev/null
    for i in $(seq 2000); do
        # what images made room for is taken, too
        [ $((i % 20)) != 0 ] || head -c 400M /dev/zero 2> /dev/null >> "$work/up/shared/filler"
        timeout 5 mkdir "$work/mnt/d-$i" 2> /dev/null || break
        echo "d-$i" >> "$work/made"
    done
    [ "$i" -lt 2000 ] || fail "it never gets full"
    grep -hq 'read-only until there is' "$work"/up/master-*.log "$work/again.log" || fail "not a word of that: $(tail -n 3 "$work"/up/master-*.log)"
    says_full() { tarn journal status > "$work/full" 2>&1; [ $? = 1 ] && grep -q 'warning: the shared directory is full, changes are refused: free some space there' "$work/full"; }
    wait_for 10 says_full || fail "full, and status says: $(cat "$work/full")"
    grep -q 'warning:.* of 320.0 MiB are free' "$work/full" || fail "how much is free: $(cat "$work/full")"
    is_ready "$(leader)" '"ready": true.*"degraded": "no room' || fail "full, and ready says: $(http "$(leader)" readyz)"
    # what is open is read; to open another one may need a record, of what is seen below
    [ "$(cat <&8)" = "content of 1" ] || fail "full, and what is open cannot be read"
    exec 8<&-
    for i in $(seq 20); do # an image or a reserve may have left room again
        head -c 400M /dev/zero 2> /dev/null >> "$work/up/shared/filler"
        tarn fs ls / --set client.deadline=3s > "$work/ls.log" 2>&1 || break
    done
    grep -q 'connecting: no space left: the masters at .* take no new session while their journal is full' "$work/ls.log" || fail "full, and ls says $(tail -n 3 "$work/ls.log")"
    rm "$work/up/shared/filler"
    wait_for 20 timeout 5 mkdir "$work/mnt/after" || fail "with space again nothing is written: $(tail -n 3 "$work"/up/master-*.log)"
    while read -r name; do [ -d "$work/mnt/$name" ] && [ -d "$store/$name" ] || fail "$name was acknowledged, and is lost"; done < "$work/made"
else
    echo "not filled: a small file system cannot be mounted here (needs root)"
fi

# --- it ends, leaves nothing running, and goes on ---
find "$store" -mindepth 1 -path "$store/.tarn" -prune -o -printf '%P\n' | sort > "$work/names"
term again
term up || fail "tarn up's end"
pgrep -f "$work/up/" > /dev/null && fail "left running: $(pgrep -af "$work/up/")"
expect 0 '^ok: records [0-9]* to [0-9]*' tarn journal verify
expect 1 'nowhere: No such file or directory: is the shared storage mounted' tarn journal verify "zk:$work/nowhere"
expect 1 'nowhere: No such file or directory: is the shared storage mounted' tarn journal dump "zk:$work/nowhere"
expect 1 'has no majority to lose: any master that is started leads' tarn journal recover
expect 2 'journal.type is zk: --to zk:DIR says which directory' tarn journal restore "$work/b"
expect 0 ' mkdir .*name="after"|create .*name="f-' tarn journal dump
expect 0 'ZooKeeper at .* cannot be asked whether a master runs' tarn journal migrate --from "zk:$work/up/shared" --to "local:$work/l" --dry-run
unset TARN_CONFIG
start_up
(cd "$work/mnt" && find . -mindepth 1 -printf '%P\n') | sort | diff - "$work/names" > "$work/diff" || fail "not what was there: $(head -5 "$work/diff")"
term up || fail "tarn up's second end"
echo "ok: $(acked) files"
