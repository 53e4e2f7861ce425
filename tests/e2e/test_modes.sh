#!/bin/bash
# Several mounts in one namespace: ro, through, meta; what each allows and says.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
mkdir "$work/under"
config ro 200ms "$(printf '"up": {"workers": 1}')"
python3 - "$TARN_CONFIG" "$work/under" <<'END'
import json, sys
c = json.load(open(sys.argv[1]))
c["mounts"] += [{"path": "/work", "ufs": "dir:" + sys.argv[2], "mode": "through"}, {"path": "/names", "mode": "meta"}]
json.dump(c, open(sys.argv[1], "w"))
END
echo one > "$store/one"
start_master; start_worker 1; start_mount a; start_mount b
[ "$(cat "$work/a/one")" = one ] || fail "ro: read"
(echo x > "$work/a/new") 2>&1 | grep -q 'Read-only' || fail "ro: a change is refused"
echo hi > "$work/a/work/f" || fail "through: write"
[ "$(cat "$work/b/work/f" "$work/under/f")" = $'hi\nhi' ] || fail "through: the other mount and the under-store have it"
mkdir "$work/a/names/d" && touch "$work/a/names/d/f" || fail "meta: names"
[ -e "$work/b/names/d/f" ] || fail "meta: seen by the other mount"
SECONDS=0
(echo bytes > "$work/a/names/d/f") 2>&1 | grep -qi 'not supported' || fail "meta: there is nowhere to put bytes, and that is said"
echo bytes | tarn fs put - /names/g 2>&1 | grep -q 'not supported' || fail "meta: put"
[ $SECONDS -lt 8 ] || fail "meta: the refusal took $SECONDS s"
mv "$work/a/work/f" "$work/a/names/" 2> "$work/mv.err" && fail "a rename over mounts"
[ "$(cat "$work/a/work/f")" = hi ] || fail "a refused move lost the file"
echo ok
