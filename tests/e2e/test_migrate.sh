#!/bin/bash
# docs/recovery.md, "Another kind of journal": local, raft and zk, any to any; what is refused; kill -9 in the
# middle; a source that is not changed; a destination that starts nobody before it is whole; differences named.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/zookeeper.sh"
group="1@127.0.0.1:$port,2@127.0.0.1:$((port + 1)),3@127.0.0.1:$((port + 2))"
cat > "$TARN_CONFIG" <<END
{"master": {"listen": "127.0.0.1:$port", "dir": "$work/master", "memory": "256MiB", "lease": "2s", "session": "6s"}, "client": {"deadline": "10s"},
 "journal": {"segment": "1MiB", "image_after": "1MiB"}, "mounts": [{"path": "/", "mode": "meta"}]}
END
raft=$work/raft.json
cat > "$raft" <<END
{"master": {"memory": "256MiB", "lease": "2s", "session": "6s"}, "client": {"deadline": "20s"},
 "journal": {"type": "raft", "members": "$group", "segment": "1MiB", "image_after": "1MiB"},
 "mounts": [{"path": "/", "mode": "meta"}]}
END
own() { echo "-c $raft --set journal.id=$1 --set master.dir=$2-$1 --set master.listen=127.0.0.1:$((port + $1 - 1))"; }
member() { spawn "raft$1" tarn master $(own "$1" "$2") || fail "member $1 of $2 did not start"; }
says() { # says STATUS PATTERN OPTIONS...: tarn journal migrate
    local want=$1 pattern=$2 status; shift 2
    timeout 120 tarn journal migrate "$@" > "$work/says.log" 2>&1; status=$?
    [ $status = "$want" ] || fail "migrate $*: status $status, not $want: $(cat "$work/says.log")"
    grep -qE -- "$pattern" "$work/says.log" || fail "migrate $* says \"$(cat "$work/says.log")\", not $pattern"
}
sums() { (cd "$1" && find . -type f ! -name fence ! -name moved -exec sha256sum {} + | sort; find . -name fence -exec stat -c '%n %s' {} +); }
names() { tarn fs ls / "$@" | sort | tr '\n' ' '; }
refuses() { # refuses DIR OPTIONS: no master starts there, and it says why
    local i
    for i in $(seq 20); do # who was killed may hold its locks for a moment
        timeout 60 tarn master --set master.dir="$1" "${@:2}" > "$work/refuses.log" 2>&1 && fail "a master started in $1"
        grep -q "in use by another process" "$work/refuses.log" || break
        sleep 0.1
    done
    grep -q "a migration into this directory was begun and has not ended" "$work/refuses.log" ||
        fail "a start in $1 says: $(cat "$work/refuses.log")"
}

# --- a source: an image, and a log after it ---
start_master
for i in $(seq 20); do tarn fs mkdir "/before-$i" || fail "mkdir"; done
tarn journal snapshot > /dev/null 2>&1 # an image, where that is known here
for i in $(seq 20); do tarn fs mkdir "/after-$i" || fail "mkdir"; done
before=$(names)
says 1 "a running master has it; stop that first" --from "local:$work/master" --to "raft:$work/r" --members "$group"
term master
found=$(sums "$work/master")

# --- what is refused, before anything is written ---
says 2 "both the source and the destination" --from "local:$work/master" --to "local:$work/master"
says 2 "which group it becomes" --from "local:$work/master" --to "raft:$work/r"
says 2 "is not among the members" --from "local:$work/master" --to "raft:$work/r" --members "$group" --id 9
says 1 "No such file" --from "local:$work/nowhere" --to "local:$work/l"
mkdir "$work/empty"
says 1 "there is no journal of a single master here" --from "local:$work/empty" --to "local:$work/l"
says 1 "there is no journal of type zk here" --from "zk:$work/empty" --to "local:$work/l"
says 1 "name it as local:" --from "raft:$work/master" --to "local:$work/l"
mkdir "$work/full" && echo mine > "$work/full/file"
says 1 "is not empty.  Nothing was changed" --from "local:$work/master" --to "local:$work/full"
[ "$(cat "$work/full/file")" = mine ] && [ "$(ls "$work/full")" = file ] || fail "a refused destination was changed"
says 4 "No such file or directory" --from "$work/none.json" --to "local:$work/l"
for f in "$work"/master/image-* "$work"/master/wal-*; do # damaged at its beginning and in its middle
    [ -s "$f" ] || continue
    rm -rf "$work/bad" && cp -r "$work/master" "$work/bad" && rm -f "$work/bad/migrat"*
    printf '\377\377\377\377' | dd of="$work/bad/$(basename "$f")" bs=1 seek=9000 conv=notrunc status=none
    [ "$(sums "$work/bad")" = "$found" ] && fail "nothing was damaged"
    timeout 60 tarn journal migrate --from "local:$work/bad" --to "local:$work/l" --dry-run > "$work/bad.log" 2>&1
    case $? in # an older image, or a torn end, may stand in for it: never fewer records, and silently
        0) ;;
        5) grep -q "Nothing was changed" "$work/bad.log" || fail "damage: $(cat "$work/bad.log")" ;;
        *) fail "a damaged source: $(cat "$work/bad.log")" ;;
    esac
done
rm -rf "$work/bad" && cp -r "$work/master" "$work/bad" && rm "$work/bad/journal.meta"
says 5 "checksum mismatch.  Nothing was changed" --from "local:$work/bad" --to "local:$work/l"
[ ! -e "$work/l" ] && [ ! -e "$work/r-1" ] || fail "a refused migration left something"

# --- a dry run; local -> raft ---
says 0 "would migrate local:.* 0 sessions" --from "local:$work/master" --to "raft:$work/r" --members "$group" --dry-run
[ ! -e "$work/r-1" ] || fail "a dry run wrote"
says 0 "migrated and compared: local:.* -> raft:.*41 inodes" --from "local:$work/master" --to "raft:$work/r" --members "$group"
[ "$(sums "$work/master")" = "$found" ] || fail "the source was changed"
says 0 "had been migrated before, and nothing has changed" --from "local:$work/master" --to "raft:$work/r" --members "$group"
says 1 "of other members" --from "local:$work/master" --to "raft:$work/r" --members "${group/1@127.0.0.1/1@localhost}"
tarn journal migrate --from "local:$work/master" --to "raft:$work/r" --members "$group" --verify --json > "$work/v.json" 2> /dev/null || fail "verify"
python3 - "$work/v.json" <<'END' || fail "--verify --json: $(cat "$work/v.json")"
import json, sys
d = json.load(open(sys.argv[1]))
assert d["ok"] and d["verified"] and not d["differences"] and d["inodes"] == 41 and len(d["directories"]) == 3
assert d["digest"] != d["digest_to"] and len(d["era"]) == 16 and d["index"] > 40
END
tarn journal verify "$work"/r-1 "$work"/r-2 "$work"/r-3 > "$work/verify.log" 2>&1 || fail "verify: $(cat "$work/verify.log")"
tarn journal verify "raft:$work/r" 2>&1 | cmp - "$work/verify.log" || fail "verify raft:DIR"
for n in 1 2 3; do member $n "$work/r"; done
export TARN_CONFIG=$raft
wait_for 30 tarn fs mkdir /in-the-group || fail "nobody leads: $(tarn journal status 2>&1)"
[ "$(names)" = "$(echo $before in-the-group | tr ' ' '\n' | sort | tr '\n' ' ')" ] || fail "the group has: $(names)"
# a source that is a member of the running cluster, and one whose masters answer
says 1 "a running master has it" --from "raft:$work/r" --to "local:$work/l"
for n in 1 2 3; do cp -r "$work/r-$n" "$work/copy-$n"; done # somewhere else, or on another host: no lock tells
says 1 "the master at .* runs, in this cluster: stop all masters first" --from "raft:$work/copy" --to "local:$work/l"
for i in $(seq 30); do tarn fs mkdir "/group-$i" || fail "mkdir"; done
inside=$(names)
for n in 1 2 3; do kill9 raft$n; done

# --- raft -> local: a majority, the most complete log ---
found=$(for n in 1 2 3; do sums "$work/r-$n"; done)
says 1 "directories of 1 of the 3 members that vote are named.*lacking: 2@.* 3@" --from "raft:$work/r-1" --to "local:$work/l"
says 1 "are both member 1's" --from "raft:$work/r-1,$work/copy-1" --to "local:$work/l"
says 0 "migrated and compared: raft:" --from "raft:$work/r" --to "local:$work/l"
[ "$(for n in 1 2 3; do sums "$work/r-$n"; done)" = "$found" ] || fail "the source was changed"
export TARN_CONFIG=$work/tarn.json
spawn single tarn master --set master.dir="$work/l" || fail "no master starts on what was migrated"
[ "$(names)" = "$inside" ] || fail "the single master has: $(names)"
tarn fs mkdir /alone || fail "mkdir"
kill9 single
# a difference is named: what the destination has beyond its source
says 5 "\"alone\"|size is [0-9]+ in the first|inode [0-9]+" --from "raft:$work/r" --to "local:$work/l" --verify
grep -q "a master has served from it since\|only in the second" "$work/says.log" || fail "differences: $(cat "$work/says.log")"
says 1 "a migration of raft:.* was made here, and this is" --from "local:$work/master" --to "local:$work/l"
# a bit of the image of a destination
says 0 "migrated" --from "local:$work/l" --to "local:$work/flip"
image=$(ls "$work"/flip/image-*)
at=$(($(stat -c %s "$image") / 2))
byte=$(od -An -tu1 -j $at -N 1 "$image")
printf "\\$(printf '%03o' $((byte ^ 4)))" | dd of="$image" bs=1 seek=$at conv=notrunc status=none
says 5 "checksum mismatch|does not check|is needed|differ" --from "local:$work/l" --to "local:$work/flip" --verify

# --- raft -> raft: other members; one at a time, as on several hosts ---
era=
for n in 1 2 3; do
    tarn journal migrate --from "raft:$work/r-1,$work/r-2" --to "raft:$work/n-$n" --members "$group" --id $n ${era:+--era $era} > "$work/n$n.log" 2>&1 ||
        fail "member $n alone: $(cat "$work/n$n.log")"
    [ "$era" ] || era=$(sed -n 's/.*--era \([0-9a-f]*\)$/\1/p' "$work/n$n.log")
done
tarn journal verify "$work"/n-1 "$work"/n-2 "$work"/n-3 > "$work/verify.log" 2>&1 || fail "one at a time: $(cat "$work/verify.log")"
cmp -s "$work"/n-1/image-* "$work"/n-3/image-* || fail "members begin with other bytes"

# --- zk: by its files ---
says 1 "z: No such file or directory: is the shared storage mounted" --from "raft:$work/r" --to "zk:$work/z"
mkdir "$work/z" "$work/zz" "$work/bz"
says 0 "migrated and compared: raft:.* -> zk:" --from "raft:$work/r" --to "zk:$work/z"
[ -e "$work/z/fence" ] && [ ! -e "$work/z/new" ] && ls "$work"/z/images/1/image-* > /dev/null || fail "zk: $(find "$work/z")"
found=$(sums "$work/z")
says 0 "migrated and compared: zk:.* -> local:" --from "zk:$work/z" --to "local:$work/zl"
says 0 "migrated and compared: zk:.* -> raft:" --from "zk:$work/z" --to "raft:$work/zr" --members "$group"
says 0 "migrated and compared: zk:.* -> zk:" --from "zk:$work/z" --to "zk:$work/zz" --id 7
says 0 "same: zk:" --from "zk:$work/z" --to "zk:$work/zz" --id 7 --verify
[ "$(sums "$work/z")" = "$found" ] || fail "the source was changed"
grep -q "^to zk:.*zz, 20" "$work/z/moved" || fail "no note in the source: $(cat "$work/z/moved")"
# verify and dump of it; an image that is damaged is named
tarn journal verify "zk:$work/z" > "$work/verify.log" 2>&1 || fail "verify zk: $(cat "$work/verify.log")"
grep -q '^ok: .*image at .* of member 1, 1 images' "$work/verify.log" || fail "verify zk says: $(cat "$work/verify.log")"
tarn journal verify "$work/z" --json | python3 -c 'import json, sys; d = json.load(sys.stdin); assert d["ok"] and d["starts"] and d["last_index"] > 40 and d["epochs_left"] > 16000' || fail "verify --json of a zk journal"
tarn journal dump --all "$work/z" > "$work/dump.log" 2>&1 || fail "dump zk: $(cat "$work/dump.log")"
grep -q '^# fence: cluster="[0-9a-f]*" claimed=[0-9]* slots=[0-9]*' "$work/dump.log" && grep -q '^# images/1/image-' "$work/dump.log" || fail "dump zk says: $(cat "$work/dump.log")"
[ "$(sums "$work/z")" = "$found" ] || fail "looking changed something"
cp -r --sparse=always "$work/z" "$work/zbad" && image=$(ls "$work"/zbad/images/1/image-*)
printf '\377\377\377\377' | dd of="$image" bs=1 seek=5000 conv=notrunc status=none
tarn journal verify "zk:$work/zbad" > "$work/verify.log" 2>&1; code=$?
[ $code = 5 ] && grep -q "images/1/$(basename "$image"): checksum mismatch" "$work/verify.log" && grep -q "Restore" "$work/verify.log" || fail "verify of a damaged image: $code, $(cat "$work/verify.log")"
rm -rf "$work/zbad"
tarn journal verify "zk:$work/empty" > "$work/verify.log" 2>&1; code=$?
[ $code = 1 ] && grep -q "no journal of type zk here" "$work/verify.log" || fail "verify of nothing: $code, $(cat "$work/verify.log")"
spawn single tarn master --set master.dir="$work/zl" || fail "no master starts on what came from zk"
[ "$(names)" = "$inside" ] || fail "from zk came: $(names)"
kill9 single

# --- backups of stopped journals, and restores into each type ---
for from in "zk:$work/z" "raft:$work/r" "local:$work/zl" "$work/z"; do
    rm -f "$work/backup"
    tarn journal backup "$work/backup" --from "$from" > "$work/backup.log" 2>&1 || fail "backup --from $from: $(cat "$work/backup.log")"
    grep -q "only, and not in this backup" "$work/backup.log" && fail "backup --from $from lacks something: $(cat "$work/backup.log")"
    tarn journal verify "$work/backup" > "$work/verify.log" 2>&1 || fail "backup --from $from: $(cat "$work/verify.log")"
done
restored() { # restored TO OPTIONS...
    tarn journal restore "$work/backup" --to "$@" > "$work/restored.log" 2>&1 || fail "restore --to $*: $(cat "$work/restored.log")"
    grep -q "migrated and compared: backup:" "$work/restored.log" || fail "restore --to $* says: $(cat "$work/restored.log")"
}
restored "zk:$work/bz"
restored "raft:$work/br" --members "$group"
restored "local:$work/bl"
says 0 "same: backup:" --from "backup:$work/backup" --to "zk:$work/bz" --verify
tarn journal restore "$work/backup" --to "zk:$work/z" > "$work/restored.log" 2>&1 && fail "restored into a journal that is there"
grep -q "was made here, and this is" "$work/restored.log" || fail "restore into a journal: $(cat "$work/restored.log")"
spawn single tarn master --set master.dir="$work/bl" || fail "no master starts on what was restored"
[ "$(names)" = "$inside" ] || fail "from the backup came: $(names)"
kill9 single

# --- masters go on with what was migrated, and what was restored, to zk; and back ---
if command -v java > /dev/null && [ -r /usr/share/java/zookeeper.jar ]; then
    zk_ensemble 1
    for at in z bz; do
        cat > "$work/zk.json" <<END
{"master": {"memory": "256MiB", "lease": "2s", "session": "6s"}, "client": {"deadline": "20s"},
 "journal": {"type": "zk", "members": "1@127.0.0.1:$port,2@127.0.0.1:$((port + 1))", "segment": "1MiB", "image_after": "1MiB",
             "zk": {"connect": "$zk_connect/$at", "shared_dir": "$work/$at", "session": "2s"}},
 "mounts": [{"path": "/", "mode": "meta"}]}
END
        tarn journal bootstrap -c "$work/zk.json" > "$work/bootstrap.log" 2>&1 || fail "bootstrap of $at: $(cat "$work/bootstrap.log")"
        if [ $at = z ]; then # what was migrated away does not go on by an old configuration
            timeout 60 tarn master -c "$work/zk.json" --set journal.id=1 --set "master.dir=$work/own-$at-1" --set "master.listen=127.0.0.1:$port" > "$work/moved.log" 2>&1; code=$?
            [ $code = 4 ] && grep -q "was migrated to zk:.*: set journal.zk.shared_dir" "$work/moved.log" || fail "a master starts on what was migrated: $code, $(cat "$work/moved.log")"
            rm "$work/z/moved"
        fi
        for n in 1 2; do
            spawn "$at$n" tarn master -c "$work/zk.json" --set journal.id=$n --set "master.dir=$work/own-$at-$n" --set "master.listen=127.0.0.1:$((port + n - 1))" ||
                fail "master $n of $at did not start"
        done
        export TARN_CONFIG=$work/zk.json
        wait_for 30 tarn fs mkdir /with-zk || fail "nobody leads in $at: $(tarn journal status 2>&1)"
        [ "$(names)" = "$(echo $inside with-zk | tr ' ' '\n' | sort | tr '\n' ' ')" ] || fail "in $at there is: $(names)"
        for n in 1 2; do term $at$n || fail "master $n of $at ended badly"; done
        export TARN_CONFIG=$work/tarn.json
    done
    tarn journal verify "$work/z" > "$work/verify.log" 2>&1 || fail "verify after zk: $(cat "$work/verify.log")"
    cp -r --sparse=always "$work/z" "$work/lost" && rm "$work/lost/fence"
    tarn journal bootstrap -c "$work/zk.json" --set "journal.zk.connect=$zk_connect/lost" --set "journal.zk.shared_dir=$work/lost" > "$work/bootstrap.log" 2>&1; code=$?
    [ $code = 1 ] && grep -q 'has logs or images of a journal, and no file "fence"' "$work/bootstrap.log" || fail "bootstrap without a fence: $code, $(cat "$work/bootstrap.log")"
    rm -rf "$work/lost"
    zk_kill 1
    says 0 "migrated and compared: zk:.* -> local:" --from "zk:$work/z" --to "local:$work/back"
    spawn single tarn master --set master.dir="$work/back" || fail "no master starts on what came back from zk"
    [ "$(names)" = "$(echo $inside with-zk | tr ' ' '\n' | sort | tr '\n' ' ')" ] || fail "back from zk came: $(names)"
    kill9 single
else
    echo "no masters with zk here: no ZooKeeper (apt-get install zookeeper)"
fi

# --- kill -9 at any moment ---
kills=0
for type in local raft zk; do
    for round in $(seq 12); do
        to="$work/k-$type-$round"
        [ $type != zk ] || mkdir "$to"
        only=$to; [ $type = raft ] && only=$to-2
        options="--from raft:$work/r --to $type:$to --members $group"
        if ! { timeout -s KILL "0.$(printf '%03d' $((round * 23)))" tarn journal migrate $options; } > "$work/k.log" 2>&1; then
            kills=$((kills + 1))
            if [ -e "$only/migrating" ]; then
                case $type in
                local) refuses "$only" ;;
                raft) refuses "$only" -c "$raft" --set journal.id=2 --set "master.listen=127.0.0.1:$((port + 1))" ;;
                zk) [ ! -e "$only/fence" ] && { tarn journal verify "zk:$only" 2>&1 | grep -q "a migration into it was begun and has not ended" || fail "verify of $only: $(tarn journal verify "zk:$only" 2>&1)"; } || says 0 "migrated" $options ;;
                esac
                says 1 "(begun|made) here, and this is" --from "local:$work/master" --to "$type:$to" --members "$group"
            fi
        fi
        says 0 "migrated and compared|had been migrated before" $options
        says 0 "^same: " $options --verify
        [ ! -e "$only/migrating" ] && [ -e "$only/migrated" ] || fail "it ended, and left: $(ls "$only")"
    done
done
[ $kills -gt 6 ] || fail "only $kills migrations were interrupted"
spawn single tarn master --set master.dir="$work/k-local-9" || fail "no master starts on what was interrupted"
[ "$(names)" = "$inside" ] || fail "after an interruption came: $(names)"
