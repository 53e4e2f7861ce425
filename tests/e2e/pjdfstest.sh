#!/bin/bash
# PJDFSTEST=DIR tests/e2e/pjdfstest.sh BUILD_DIR - the original pjdfstest against a mount (tests/nightly).
# DIR is somebody's checkout of it with the program built in it; nothing of it is part of this project.
# One run with a `through` directory, one with the names of a `meta` mount, both some directories below
# the mount's root: the suite makes paths of 4,095 bytes from where it is.
[ -w /dev/shm ] && [ -z "${TMPDIR:-}" ] && export TMPDIR=/dev/shm # thousands of durable changes
. "$(dirname "$0")/lib.sh" "$@"
[ -n "${PJDFSTEST:-}" ] || skip "PJDFSTEST=DIR names no built checkout of pjdfstest"
[ -x "$PJDFSTEST/pjdfstest" ] && [ -f "$PJDFSTEST/tests/conf" ] || skip "$PJDFSTEST has no pjdfstest and tests/conf: build it there"
[ "$(id -u)" = 0 ] || skip "needs root, to act as other users"
for tool in prove perl bc openssl; do command -v $tool > /dev/null || skip "needs $tool"; done
need_fuse
chmod 755 "$work"
mkdir "$work/suite" && cp -r "$PJDFSTEST/pjdfstest" "$PJDFSTEST/tests" "$work/suite" || fail copy
# it knows by name which file systems move ctime on a rename, as this one does; else it skips that
printf 'fs=EXT4\n' >> "$work/suite/tests/conf"
config through 1s
python3 - "$TARN_CONFIG" <<'P'
import json, sys
c = json.load(open(sys.argv[1]))
c["mounts"].append({"path": "/names", "mode": "meta"})
json.dump(c, open(sys.argv[1], "w"))
P
start_master; start_worker 1
start_mount m -o allow_other,dev,suid
run() { # run NAME DIR [what is left out]
    mkdir -p "$2" && cd "$2" || fail cd
    (cd "$work/suite/tests" && find . -name '*.t' | grep -vE "${3:-^$}" | sort | sed "s|^\.|$work/suite/tests|") | timeout 3000 prove - > "$work/$1.log" 2>&1 ||
        fail "$1: $(sed -n '/^Test Summary/,$p' "$work/$1.log" | head -60)"
    grep -q '^Result: PASS' "$work/$1.log" || fail "$1 did not end"
    summary+=("$1: $(grep '^Files=' "$work/$1.log" | cut -d, -f1,2)")
    cd "$work" || fail cd
}
summary=()
run through "$work/m/below/the/root"
# no bytes: what writes some is left out
run meta "$work/m/names/below/the/root" '/(ftruncate|truncate|posix_fallocate)/|/(chmod/12|open/00|open/07|open/25|unlink/14)\.t'
term mount-m || fail "the mount did not end well"
term worker1; term master
printf '%s\n' "${summary[@]}"
