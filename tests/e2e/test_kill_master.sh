#!/bin/bash
# kill -9 of the master at random moments under changes: no acknowledged one is lost, none happens twice,
# and namespace and under-store agree.
. "$(dirname "$0")/lib.sh" "$@"
config through 1s
start_master; start_worker 1
tarn fs mkdir /d || fail "mkdir"
changer() { # names acknowledged go to acked.$1
    local i=0
    while [ ! -e "$work/stop" ]; do
        i=$((i + 1))
        if timeout 25 tarn fs mkdir "/d/$1-$i" 2>> "$work/changer.log"; then echo "$1-$i" >> "$work/acked.$1"; fi
        if [ $((i % 3)) = 0 ] && timeout 25 tarn fs mv "/d/$1-$i" "/d/$1-$i-moved" 2>> "$work/changer.log"; then
            echo "$1-$i $1-$i-moved" >> "$work/moved.$1"
        fi
    done
}
changer a & c1=$!
changer b & c2=$!
for round in 1 2 3 4 5 6; do
    sleep 0.$((RANDOM % 9 + 1))
    kill9 master
    start_master
done
enough() { [ "$(cat "$work"/acked.* 2> /dev/null | wc -l)" -ge 20 ]; }
wait_for 100 enough || fail "hardly anything is acknowledged: $(cat "$work"/acked.* | wc -l)"
touch "$work/stop"
wait $c1 $c2
tarn fs refresh / > /dev/null || fail refresh
tarn fs ls /d | sort > "$work/names"
ls "$store/d" | sort > "$work/store.names"
diff "$work/names" "$work/store.names" || fail "namespace and under-store differ"
n=0
cat "$work"/moved.* 2>/dev/null > "$work/moved" || true
while read -r name; do
    n=$((n + 1))
    grep -qx "$name" "$work/names" || grep -qx "$name-moved" "$work/names" || fail "$name was acknowledged and is lost"
done < <(cat "$work"/acked.*)
while read -r from to; do
    grep -qx "$to" "$work/names" || fail "the move to $to was acknowledged and is lost"
    grep -qx "$from" "$work/names" && fail "$from is still there after its move"
done < "$work/moved"
[ $n -ge 20 ] || fail "only $n operations were acknowledged in the whole test"
term master || fail "the master's end"
echo "ok: $n acknowledged directories, 6 kills"
