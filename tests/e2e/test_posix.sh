#!/bin/bash
# The conformance suite (tests/posix) against a local directory, which checks the suite, and against
# one mount: a `through` directory, a read-only one, and the names of a `meta` one.
# POSIX_SLOW=1: the slow groups too (tests/nightly).
[ -w /dev/shm ] && [ -z "${TMPDIR:-}" ] && export TMPDIR=/dev/shm # thousands of durable changes
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
[ "$(id -u)" = 0 ] || skip "needs root, to act as other users"
chmod 755 "$work"
mkdir -m 1777 "$work/local"
slow=${POSIX_SLOW:+--slow} most=${POSIX_SLOW:+3000}; most=${most:-150}
# what the file systems that tests run on lack (docs/posix.md)
timeout $most "$build/posix-suite" "$work/local" $slow --without file_limit,large_xattr,xattr_list_limit,zero_range > "$work/local.log" \
    || fail "the local directory: $(grep 'not ok' "$work/local.log" | head)"
mkdir -p "$work/ro/dir/sub" && echo x > "$work/ro/file" && ln -s file "$work/ro/link" && mkfifo -m 666 "$work/ro/fifo" || fail "ground"
config through 20s # nobody else is below; a directory that was looked at again says 1 link until it is listed
python3 - "$TARN_CONFIG" "$work/ro" <<'P'
import json, sys
c = json.load(open(sys.argv[1]))
c["mounts"] += [{"path": "/ro", "ufs": "dir:" + sys.argv[2], "mode": "ro"}, {"path": "/names", "mode": "meta"}]
json.dump(c, open(sys.argv[1], "w"))
P
start_master; start_worker 1
start_mount m -o allow_other,dev,suid
chmod 1777 "$work/m" "$work/m/names" || fail chmod
lacks=acl,deep,file_limit,holes,ro_access,security_xattr,tmpfile,year_2300,zero_range
timeout $most "$build/posix-suite" "$work/m" $slow --without $lacks --ro "$work/m/ro" --other "$work/m/names" > "$work/through.log" \
    || fail "through: $(grep 'not ok' "$work/through.log" | head -30)"
# no bytes: what writes some is left out
timeout $most "$build/posix-suite" "$work/m/names" --other "$work/m" --without bytes,${lacks/deep,/} --only "$(echo chmod chown utimens access setgid_dir mkdir rmdir mknod link rename_types rename_flags rename_dirs sticky | tr ' ' ,)" > "$work/meta.log" \
    || fail "meta: $(grep 'not ok' "$work/meta.log" | head -30)"
cd "$work" || fail cd
term mount-m || fail "the mount did not end well"
term worker1; term master
tail -qn 1 "$work"/{local,through,meta}.log
