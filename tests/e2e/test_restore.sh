#!/bin/bash
# docs/recovery.md: a backup of a running group, a group that is restored from it, and what is refused.
. "$(dirname "$0")/lib.sh" "$@"
group() { echo "1@127.0.0.1:$1,2@127.0.0.1:$(($1 + 1)),3@127.0.0.1:$(($1 + 2))"; }
write_config() { # write_config FILE PORT
    cat > "$1" <<END
{"master": {"memory": "256MiB", "lease": "2s", "session": "6s"}, "client": {"deadline": "20s"},
 "journal": {"type": "raft", "members": "$(group "$2")", "segment": "1MiB", "image_after": "1MiB"},
 "mounts": [{"path": "/", "ufs": "dir:$store", "mode": "through", "check_interval": "1s"}]}
END
}
base=$port
write_config "$TARN_CONFIG" "$base"
own() { echo "--set journal.id=$1 --set master.dir=$work/$2$1 --set master.listen=127.0.0.1:$((base + $1 - 1))"; }
member() { spawn "$2$1" tarn master $(own "$1" "$2") || fail "member $2$1 did not start"; }
answers() { tarn journal status --json 2> /dev/null | tr -d ' \t\n' | grep -q "\"voters_up\":$1,.*\"ok\":true"; }
files() { tarn fs ls / | wc -l; }

id=$(tarn journal bootstrap $(own 1 m)) || fail "bootstrap"
for n in 2 3; do tarn journal bootstrap $(own $n m) --cluster "$id" > /dev/null || fail "bootstrap of $n"; done
for n in 1 2 3; do member $n m; done
wait_for 30 answers 3 || fail "three masters are not a group: $(tarn journal status 2>&1)"
for i in 1 2 3 4 5; do tarn fs mkdir "/kept-$i" || fail "mkdir"; done

# --- backup ---
tarn journal backup "$work/backup" > "$work/backup.log" 2>&1 || fail "backup: $(cat "$work/backup.log")"
grep -q "cluster $id, up to entry" "$work/backup.log" || fail "backup says: $(cat "$work/backup.log")"
tarn journal backup "$work/backup" 2> /dev/null && fail "a backup was written over"
tarn journal backup "$work/backup2" --json | python3 -c 'import json,sys; d = json.load(sys.stdin); assert len(d["members"]) == 3 and d["index"] > 5 and d["format"] == 1' || fail "backup --json"
tarn journal verify "$work/backup" | grep -q "cluster $id, up to entry" || fail "verify of a backup"
tarn fs mkdir /after-the-backup || fail "mkdir"
for n in 1 2 3; do kill9 m$n; done
tarn journal backup "$work/backup3" --from "$work/m1" > "$work/from.log" 2>&1 # has an image only if it led
[ ! -e "$work/backup3" ] || grep -q "up to entry" "$work/from.log" || fail "backup --from says: $(cat "$work/from.log")"

# --- what is refused, before anything is written ---
refuse() { # refuse WHAT FILE DIR
    tarn journal restore "$2" --dir "$3" --id 1 > "$work/refuse.log" 2>&1 && fail "restored $2 to $3"
    grep -q "$1" "$work/refuse.log" || fail "restore of $2 to $3 says: $(cat "$work/refuse.log")"
}
refuse "is not empty" "$work/backup" "$work/m1"
head -c 100000 "$work/backup" | head -c -5000 > "$work/cut"
refuse "no whole backup" "$work/cut" "$work/r1"
cp "$work/backup" "$work/flipped"
printf '\377' | dd of="$work/flipped" bs=1 seek=$(($(stat -c %s "$work/flipped") / 2)) conv=notrunc status=none
refuse "no whole backup" "$work/flipped" "$work/r1"
tarn journal verify "$work/flipped" 2> /dev/null; [ $? = 5 ] || fail "verify of a damaged backup"
newer() { # newer FILE: the format's version in its first header becomes the next, and its checksum fits
    python3 - "$1" <<'END'
import struct, sys
with open(sys.argv[1], "r+b") as f:
    for at in (0, 4096) if sys.argv[1].endswith("meta") else (0,):
        f.seek(at)
        b = bytearray(f.read(4096))
        if not any(b):
            continue
        struct.pack_into("<H", b, 4, struct.unpack_from("<H", b, 4)[0] + 1)
        b[8:12] = bytes(4)
        c = 0xffffffff
        for x in b:
            c ^= x
            for _ in range(8):
                c = c >> 1 ^ (0x82f63b78 if c & 1 else 0)
        struct.pack_into("<I", b, 8, c ^ 0xffffffff)
        f.seek(at)
        f.write(b)
END
}
cp "$work/backup" "$work/newer"
newer "$work/newer"
refuse "downgrade refused" "$work/newer" "$work/r1"
[ ! -e "$work/r1" ] || [ -z "$(ls -A "$work/r1")" ] || fail "a refused restore left something"
# a directory that a newer release wrote
cp -r "$work/m3" "$work/n3"
newer "$work/n3/journal.meta"
before=$(sha256sum "$work"/n3/*)
timeout 60 tarn master $(own 3 n) > "$work/newer.log" 2>&1 && fail "a newer directory is started"
grep -q "written by a newer release: run that one" "$work/newer.log" || fail "a newer directory: $(cat "$work/newer.log")"
tarn journal recover --dir "$work/n3" --yes > "$work/newer.log" 2>&1 && fail "a newer directory is recovered"
grep -q "downgrade refused" "$work/newer.log" || fail "recover of a newer directory: $(cat "$work/newer.log")"
[ "$before" = "$(sha256sum "$work"/n3/*)" ] || fail "a refused start changed something"

# --- restore: as a cluster of its own beside the old one ---
era=
restore() { # restore N DIRS [options]: the first prints the era that the others are given
    tarn journal restore "$work/backup" $(own "$1" "$2") ${era:+--era $era} "${@:3}" > "$work/restore$1.log" 2>&1 || fail "restore of $1: $(cat "$work/restore$1.log")"
    [ "$era" ] || era=$(sed -n 's/.*: --era \([0-9a-f]*\)$/\1/p' "$work/restore$1.log")
    [ "$era" ] || fail "restore names no era: $(cat "$work/restore$1.log")"
}
for n in 1 2 3; do
    restore $n r --new-cluster
    grep -q "member $n of cluster" "$work/restore$n.log" || fail "restore says: $(cat "$work/restore$n.log")"
done
grep -q "$id" "$work/restore1.log" && fail "it has the old cluster's id"
cmp -s "$work"/r1/image-* "$work"/r2/image-* && cmp -s "$work"/r1/image-* "$work"/r3/image-* || fail "restored members differ"
tarn journal verify "$work/r1" "$work/r2" "$work/r3" > "$work/verify.log" 2>&1 || fail "verify of the restored: $(cat "$work/verify.log")"
# --- and in place: in the same cluster, in a new era ---
# One of before was recovered since the backup was taken, and again; and one runs: that one's group would be ended.
for i in 1 2; do tarn journal recover --dir "$work/m3" --yes > "$work/rec.log" 2>&1 || fail "recover: $(cat "$work/rec.log")"; done
stray=$(tarn journal verify --json "$work/m3" | tr -d ' \t\n' | grep -o '"era":"[0-9a-f]*"' | cut -d'"' -f4)
sleep 2.1
member 2 m
refuse "$((base + 1)) runs, in this cluster" "$work/backup" "$work/s1"
kill9 m2
era=
for n in 1 2 3; do restore $n s; done
[[ "${era:0:8}" > "${stray:0:8}" ]] || fail "the restored era $era is not after $stray"
grep -q "member 3 of cluster $id" "$work/restore3.log" || fail "restore says: $(cat "$work/restore3.log")"
cmp -s "$work"/s1/image-* "$work"/s2/image-* || fail "restored members differ"
tarn journal restore "$work/backup" $(own 1 t) --era "$era" --json 2> /dev/null | ERA=$era python3 -c 'import json,os,sys; d = json.load(sys.stdin); assert d["era"] == os.environ["ERA"] and d["id"] == 1 and d["index"] > 5' || fail "restore --json"
cmp -s "$work"/s1/image-* "$work"/t1/image-* || fail "the same backup gives other bytes"
tarn journal restore "$work/backup" $(own 1 u) --members "1@127.0.0.1:$base" --era "$era" > "$work/refuse.log" 2>&1 && fail "an era of another list is taken"
grep -q "made for another FILE or other --members" "$work/refuse.log" || fail "restore says: $(cat "$work/refuse.log")"
rmdir "$store/after-the-backup"
member 1 s; member 2 s
wait_for 30 answers 2 || fail "the restored ones do not serve: $(tarn journal status 2>&1)"
[ "$(files)" = 5 ] || fail "$(files) directories of 5"
tarn fs mkdir /after-restore || fail "mkdir after the restore"
# what workers kept of the past that is lost is of other versions
version() { tarn fs stat --json "$1" | python3 -c 'import json,sys; print("%08x" % (int(str(json.load(sys.stdin)[0]["version"])) >> 32))'; }
[ "$(version /after-restore)" = "${era:0:8}" ] && [ "$(version /kept-1)" = 00000000 ] || fail "versions: $(tarn fs stat --json /after-restore)"
# one that was not restored stops, however often it was recovered; the restored ones go on
timeout 60 tarn master $(own 3 m) > "$work/late.log" 2>&1; code=$?
[ $code = 1 ] && grep -q "recovered or restored without this one" "$work/late.log" || fail "a member of before ends with $code: $(cat "$work/late.log")"
tarn fs mkdir /after-the-stray || fail "the stray harmed the restored ones"
member 3 s
wait_for 30 answers 3 || fail "not three: $(tarn journal status 2>&1)"
[ "$(files)" = 7 ] || fail "$(files) directories of 7"
# a list that names masters of two clusters is told of
own7() { echo "--set journal.id=1 --set master.dir=$work/v1 --set master.listen=127.0.0.1:$((base + 7)) --set journal.members=1@127.0.0.1:$((base + 7))"; }
tarn journal restore "$work/backup" $(own7) --new-cluster > "$work/restore7.log" 2>&1 || fail "restore beside it: $(cat "$work/restore7.log")"
mkdir "$work/store2"
sed "s#dir:$store#dir:$work/store2#" "$TARN_CONFIG" > "$work/other.json"
spawn v1 env "TARN_CONFIG=$work/other.json" tarn master $(own7) || fail "the copy did not start"
both() { tarn journal status --masters "127.0.0.1:$base,127.0.0.1:$((base + 7))" 2>&1 | grep -q "$1"; }
wait_for 20 both "are not of one group: they are of different clusters" || fail "status: $(tarn journal status --masters "127.0.0.1:$base,127.0.0.1:$((base + 7))" 2>&1)"
tarn journal status 2>&1 | grep "not of one group" && fail "one group is said to be several"
echo "ok: $(head -1 "$work/backup.log")"
