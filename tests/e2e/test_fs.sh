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
mkdir "$work/many" "$work/many/sub"; for i in $(seq 70); do echo "$i" > "$work/many/f$i"; done; echo sub > "$work/many/sub/f3"
j=7 # more files than the queue holds
t put -r -j $j "$work/many" /many$j; diff -r "$work/many" "$store/many$j" || fail "put -r -j $j"
t cp -r -j $j /many$j /copy$j; diff -r "$work/many" "$store/copy$j" || fail "cp -r -j $j"
t get -r -j $j /copy$j "$work/got-$j"; diff -r "$work/many" "$work/got-$j" || fail "get -r -j $j"
rm -r "$work/got-7/f9" "$work/got-7/sub/f3" && mkdir "$work/got-7/f9" # a directory where a file is to be
tarn fs get -r /copy7/. "$work/got-7" 2> "$work/err"; [ $? = 1 ] && grep -q 'f9: ' "$work/err" && [ -f "$work/got-7/sub/f3" ] || fail "one file that cannot be had: $(cat "$work/err")"
t rm -r /many7 /copy7
tarn fs put -r -j 0 "$work/many" / 2> /dev/null; [ $? = 2 ] || fail "no jobs at all"
t get -r /tree "$work/tree2"; diff -r "$work/tree" "$work/tree2" || fail "get -r"
t du /tree | grep -q "$(find "$work/tree" -type f | wc -l) files" || fail "du: $(t du /tree)"
t df | grep -q 'under-store' || fail df
is_located() { tarn fs location /tree/env.h | grep -q 'worker .* page'; }
wait_for 20 is_located || fail "location" # a page is served before it is stored, and reported after that
t free /tree
t load /tree > "$work/loaded"; grep -q "loaded $(find "$work/tree" -type f | wc -l) files" "$work/loaded" || fail "load: $(cat "$work/loaded")"
t location --fresh /tree/env.h > /dev/null # whatever was to be dropped is dropped by now
wait_for 20 is_located || fail "what was loaded after a free was dropped by it"
echo changed > "$store/tree/env.h"
[ "$(t cat /tree/env.h)" = changed ] || fail "a change behind the cluster's back was not noticed"
t refresh /
t rm -r /tree; [ ! -e "$store/tree" ] || fail "rm -r left something"
t rm /a/hard /a/soft; t rm -f /a/none
timeout 30 tarn fs rm /a 2>/dev/null && fail "rm of a directory without -r"
t rm -r /a
[ -z "$(find "$store" -mindepth 1 -not -path "$store/.tarn*")" ] || fail "left: $(find "$store")"
tarn fs put "$work/data" /nowhere/x 2>/dev/null; [ $? = 1 ] || fail "put into a missing directory"
# into a directory, whatever slashes follow the name; "." is what is in it
t mkdir /one /two /two/in; t mv /one/ /two; [ -d "$store/two/one" ] && [ -d "$store/two/in" ] || fail "mv of DIR/ into a directory"
mkdir -p "$work/l/ro"; echo 1 > "$work/l/ro/f"; ln -s ro "$work/l/link"; chmod 555 "$work/l/ro"
(cd "$work/l" && t put -r . /two) && diff -r "$work/l" "$store/two" -x one -x in || fail "put -r ."
[ "$(stat -c %a "$store/two/ro")" = 555 ] || fail "the mode of a directory that may not be written"
t put -r "$work/l/" /two; [ -f "$store/two/l/ro/f" ] || fail "put -r DIR/ into a directory"
t put -r "$work/l/" /two; rm "$work/l/link"; ln -s elsewhere "$work/l/link"
tarn fs put -r "$work/l" /two 2> "$work/err"; [ $? = 1 ] && grep -q 'link: file exists' "$work/err" || fail "another link was taken for the same"
t get -q -r /two/l/ "$work/got2"; [ "$(stat -c %a "$work/got2/ro")" = 555 ] && [ -f "$work/got2/ro/f" ] || fail "get -r DIR/"
(umask 027; echo x | t put - /two/piped); [ "$(stat -c %a "$store/two/piped")" = 640 ] || fail "the mode of what came from standard input"
# names are any bytes; JSON is text
printf x > "$store/two/"$'\xff\xfe'; printf x > "$store/two/"$'ü\n'; t ln -s nowhere /two/dangling
t ls --json /two | python3 -c 'import json, os, sys
d = json.loads(sys.stdin.buffer.read().decode())
names = {os.fsencode(e["path"]) for e in d}
assert {b"/two/\xff\xfe", "/two/ü\n".encode()} <= names, names
assert [e["path"] for e in d] == sorted(e["path"] for e in d), "sorted"
assert any(e["type"] == "link" and e["target"] == "nowhere" for e in d)
st = os.stat(sys.argv[1] + "/two/piped")
assert [e["mtime_ns"] for e in d if e["path"] == "/two/piped"] == [st.st_mtime_ns]' "$store" || fail "ls --json"
t ls -l /two/dangling | grep -q ' -> nowhere' || fail "ls of a dangling link"
tarn fs mkdir --json /two | python3 -c 'import json, sys; assert "exists" in json.load(sys.stdin)["error"]' || fail "the error is not in the document"
t put "$work/data" /two/data; t load /two
is_whole() { tarn fs location --fresh /two/data | grep -q '5 pages'; }
wait_for 20 is_whole || fail "location --fresh: $(t location --fresh /two/data)"
(head -c 2000000 /dev/zero; while [ ! -e "$work/enough" ]; do sleep 0.1; done) | t put - /slow & put=$!
is_begun() { [ "$(tarn fs ls -l /slow 2>/dev/null | grep -c 2000000)" = 1 ]; }
wait_for 20 is_begun || fail "a file that is being written: $(t ls -l /slow)"
said=$(timeout 30 tarn fs load /slow 2>&1 >/dev/null) && fail "load of a file that is being written"
case "$said" in *"/slow: it is being written"*) ;; *) fail "load of a file that is being written: $said" ;; esac
touch "$work/enough"; wait $put || fail "put from a slow pipe"
t load /slow; t rm /slow
is_json() { tarn status --json | python3 -c 'import json, sys
s = json.load(sys.stdin)
assert [w["alive"] for w in s["workers"]] == [True, True] and s["mounts"][0]["path"] == "/" and s["total"]["workers_alive"] == 2'; }
wait_for 20 is_json || fail "status --json: $(tarn status --json)" # a worker that is not scheduled is not alive for a while
is_page() { tarn status | grep -q '^workers  2 of 2 alive'; }
wait_for 20 is_page || fail "status --page: $(tarn status)"
# a user's other groups count
as() { env -u TARN_CONFIG setpriv --reuid 65534 --regid 65534 --groups "$1" "${@:2}"; }
if [ "$(id -u)" = 0 ] && command -v setpriv > /dev/null && as 4242 test -x "$build/tarn" 2> /dev/null; then
    mkdir -m 750 "$store/two/grp"; echo g > "$store/two/grp/f"; chmod 640 "$store/two/grp/f"; chgrp -R 4242 "$store/two/grp"
    [ "$(as 4242 tarn fs cat --masters "127.0.0.1:$port" /two/grp/f)" = g ] || fail "a member of the group cannot read"
    as 4243 tarn fs cat --masters "127.0.0.1:$port" /two/grp/f 2> "$work/err"; [ $? = 1 ] && grep -q 'permission denied' "$work/err" || fail "a stranger to the group: $(cat "$work/err")"
fi
# another cluster's master is not let in, while this one writes the under-store
timeout 60 tarn master --set "master.dir=$work/other" --set "master.listen=127.0.0.1:$((port + 9))" 2> "$work/err"
[ $? = 1 ] && grep -q 'written by the master of another cluster' "$work/err" || fail "two clusters write one under-store: $(cat "$work/err")"
kill9 master; start_master
[ "$(t cat /two/piped)" = x ] || fail "the under-store stays locked"
echo ok
