#!/bin/bash
# tarn fs on a `through` mount: every command, and the under-store agrees.
. "$(dirname "$0")/lib.sh" "$@"
config through 0
head -c 5000000 /dev/urandom > "$work/data"
start_master; start_worker 1; start_worker 2
t() { timeout 30 tarn fs "$@" || fail "tarn fs $*"; }
t mkdir /a; t mkdir -p /a/b/c
t put "$work/data" /a/data
cmp "$work/data" "$store/a/data" || fail "put: the under-store differs"
t cat /a/data | cmp - "$work/data" || fail "cat differs"
t cp /a/data /a/b/copy; cmp "$work/data" "$store/a/b/copy" || fail "cp differs"
t mv /a/data /a/b/moved; [ ! -e "$store/a/data" ] && cmp "$work/data" "$store/a/b/moved" || fail "mv"
t ln /a/b/moved /a/hard; [ "$(stat -c %h "$store/a/hard")" = 2 ] || fail "ln"
t ln -s b/moved /a/soft; [ "$(readlink "$store/a/soft")" = b/moved ] || fail "ln -s"
t cat /a/soft | cmp - "$work/data" || fail "cat through a link"
t get /a/b/moved "$work/got"; cmp "$work/data" "$work/got" || fail "get"
cp -r "$here/core" "$work/tree"
t put -r "$work/tree" /; diff -r "$work/tree" "$store/tree" || fail "put -r"
t get -r /tree "$work/tree2"; diff -r "$work/tree" "$work/tree2" || fail "get -r"
t du /tree | grep -q "$(find "$work/tree" -type f | wc -l) files" || fail "du: $(t du /tree)"
t df | grep -q 'under-store' || fail df
t free /tree
t load /tree > "$work/loaded"; grep -q "loaded $(find "$work/tree" -type f | wc -l) files" "$work/loaded" || fail "load: $(cat "$work/loaded")"
is_located() { tarn fs location /tree/env.h | grep -q 'worker .* pages'; }
wait_for 20 is_located || fail "location" # a page is served before it is stored, and reported after that
echo changed > "$store/tree/env.h"
[ "$(t cat /tree/env.h)" = changed ] || fail "a change behind the cluster's back was not noticed"
t refresh /
t rm -r /tree; [ ! -e "$store/tree" ] || fail "rm -r left something"
t rm /a/hard /a/soft; t rm -f /a/none
timeout 30 tarn fs rm /a 2>/dev/null && fail "rm of a directory without -r"
t rm -r /a
[ -z "$(find "$store" -mindepth 1 -not -path "$store/.tarn*")" ] || fail "left: $(find "$store")"
tarn fs put "$work/data" /nowhere/x 2>/dev/null; [ $? = 1 ] || fail "put into a missing directory"
echo ok
