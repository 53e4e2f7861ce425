#!/bin/bash
# `tarn up --masters 3` and what lies there already: a group that was being made is finished, once; one
# that has changed since is started as its journal says; what is lost is not made anew.
. "$(dirname "$0")/lib.sh" "$@"
unset TARN_CONFIG
expect() { # expect STATUS PATTERN COMMAND...
    local want=$1 pattern=$2 out status; shift 2
    out=$(timeout 60 "$@" 2>&1); status=$?
    [ $status = "$want" ] || fail "$*: status $status, not $want: $out"
    grep -qE -- "$pattern" <<< "$out" || fail "$*: says \"$out\", not $pattern"
}
up=(tarn up --under-store "$store" --mode through --masters 3 --workers 1 --dir "$work/up"
    --set "master.listen=127.0.0.1:$port" --set "worker.listen=127.0.0.1:$((port + 10))"
    --set master.memory=256MiB --set worker.capacity=64MiB)
start() { "${up[@]}" > "$work/up.log" 2>&1 & pids[up]=$!; }
started() { wait_for 90 grep -q "is up" "$work/up.log" || fail "the cluster did not start"; }
json() { tarn journal status --json -c "$work/up/tarn.json" 2> /dev/null | tr -d ' \t\n'; }
up_of() { json | grep -q "\"voters\":$1,\"voters_up\":$2,.*\"ok\":true"; }
leader() { json | grep -o '"leader":[0-9]*' | cut -d: -f2; }
sums() { (cd "$work/up" && find . -type f -path '*master-[0-9]/*' -exec sha256sum {} + | sort); }
masters() { pgrep -f "tarn master .*$work/up/" | wc -l; }
nobody() { [ "$(masters)" = 0 ]; }

# --- it is killed while it makes their directories: the next one goes on, and it is one cluster ---
for try in $(seq 20); do
    rm -rf "$work/up"
    start
    until [ -e "$work/up/master-2" ] || [ $SECONDS -gt 120 ]; do :; done
    kill9 up
    sleep 0.2 # whoever makes a directory ends with it
    [ -e "$work/up/master-1/journal.meta" ] && [ ! -e "$work/up/master-3" ] && break
done
[ -e "$work/up/master-1/journal.meta" ] && [ ! -e "$work/up/master-3" ] || fail "not killed in time: $(ls "$work"/up/*)"
id=$(cut -d' ' -f1 "$work/up/master-new")
# asked for otherwise it is not gone on with
expect 1 'was being made here, and is not whole: start it with as many' "${up[@]}" --masters 5
start; started
wait_for 60 up_of 3 3 || fail "three masters are not a group: $(json) $(cat "$work/up.log")"
grep -q "cluster $id was being made here" "$work/up.log" || fail "not a word of that: $(cat "$work/up.log")"
json | grep -q "\"cluster\":\"$id\"" || fail "another cluster: $(json)"
[ ! -e "$work/up/master-new" ] || fail "it is whole, and still being made"
export TARN_CONFIG=$work/up/tarn.json
tarn fs mkdir /kept || fail "mkdir"

# --- it shrinks: the next one starts those that belong to it ---
gone=$(($(leader) % 3 + 1))
expect 0 "$gone is no member any more" tarn journal remove "$gone"
term up || fail "tarn up's end"
wait_for 10 nobody || fail "masters are left"
unset TARN_CONFIG
start; started
wait_for 60 up_of 2 2 || fail "two of two do not serve: $(json) $(cat "$work/up.log")"
[ "$(masters)" = 2 ] || fail "$(masters) masters run, not 2"
grep -q "note: the group that lies here is .*as its journal says.*and not .*$gone@" "$work/up.log" || fail "not a word of what it is: $(cat "$work/up.log")"
grep -q "note: member $gone is no member any more: it is not started, and $work/up/master-$gone can be moved away" "$work/up.log" || fail "not a word of $gone: $(cat "$work/up.log")"
export TARN_CONFIG=$work/up/tarn.json
[ "$(tarn fs ls / | tr -d '\n')" = kept ] || fail "not what was there: $(tarn fs ls / 2>&1)"
grep -q "$gone@" "$TARN_CONFIG" && fail "the configuration still names $gone"

# --- one is added, in a directory beside theirs ---
tarn master --join --set journal.id=4 --set "master.listen=127.0.0.1:$((port + 3))" --set "master.dir=$work/up/master-4" \
    --set "journal.members=$(grep -o '"[0-9]@[^"]*' "$TARN_CONFIG" | tr -d '"'),4@127.0.0.1:$((port + 3))" > "$work/m4.log" 2>&1 &
pids[m4]=$!
expect 0 'member 4 at .* votes' tarn journal add "4@127.0.0.1:$((port + 3))"
term up || fail "tarn up's end"
kill9 m4
wait_for 10 nobody || fail "masters are left"
start; started # its configuration names two, and --masters three
unset TARN_CONFIG
wait_for 60 up_of 3 3 || fail "three with the new one do not serve: $(json) $(cat "$work/up.log")"
[ "$(masters)" = 3 ] || fail "$(masters) masters run, not 3"
term up || fail "tarn up's end"
wait_for 10 nobody || fail "masters are left"

# --- a directory is lost: it is not made anew, and the others go on; of two nothing is begun ---
mv "$work/up/master-4" "$work/lost-4"
start; started
wait_for 60 up_of 3 2 || fail "two of three do not serve: $(json) $(cat "$work/up.log")"
grep -q "note: member 4 at .* is not started: $work/up/master-4 has nothing of this group.*journal replace 4" "$work/up.log" || fail "not a word of 4: $(cat "$work/up.log")"
[ ! -e "$work/up/master-4" ] || fail "made anew"
term up || fail "tarn up's end"
wait_for 10 nobody || fail "masters are left"
last=$(ls -d "$work"/up/master-[0-9] | grep -v "master-$gone\$" | head -1)
mv "$last" "$work/lost"
before=$(sums)
expect 1 'of the 3 masters that vote only 1 has a directory here, and 2 are needed.*journal recover --dir.*Nothing was changed' "${up[@]}"
[ "$before" = "$(sums)" ] && [ ! -e "$last" ] || fail "something was changed"
# two clusters are not mixed
mkdir "$work/second"
tarn journal bootstrap --set journal.type=raft --set "journal.members=7@127.0.0.1:$((port + 6))" --set journal.id=7 \
    --set "master.listen=127.0.0.1:$((port + 6))" --set "master.dir=$work/up/master-7" > /dev/null 2>&1 || fail "bootstrap of another"
expect 1 'is of cluster [0-9a-f]*, and .* of [0-9a-f]*: name another --dir' "${up[@]}"
echo "ok"
