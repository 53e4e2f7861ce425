#!/bin/bash
# tests/e2e/test_history.sh BUILD - tarn-sim check-history: verdicts, exit codes, what is said of a violation, and of files that are none.
. "$(dirname "$0")/sim.sh" "$@"
cd "$here" || fail "no source tree"
event() { echo "{\"process\": $1, \"type\": \"$2\", \"f\": \"$3\", \"key\": \"k<1>\", \"value\": $4}"; }
good() { event 1 invoke write 1; event 1 ok write 1; event 2 invoke cas '[1, 2]'; event 3 invoke write 7; event 2 ok cas '[1, 2]'; event 2 invoke read null; event 2 ok read 2; }
good > "$work/good"
{ good; event 2 invoke read null; event 2 ok read 1; event 1 invoke read null; event 1 ok read 7; } > "$work/bad"
for i in $(seq 12); do event "$i" invoke write "$i"; done > "$work/hard" # all at once, and in no order does the last answer fit
for i in $(seq 12); do event "$i" ok write "$i"; done >> "$work/hard"
{ event 1 invoke read null; event 1 ok read 31; } >> "$work/hard"

sim check-history "$work/good"
expect 0 "a good one" "good: linearizable: cas, 1 key, 4 operations"
sim check-history - < "$work/good"
expect 0 "standard input" "^-: linearizable"
sim check-history "$work/good" "$work/bad" "$work/hard" --steps 5000 --html "$work/page.html"
expect 3 "one of three is bad" "3 histories: 1 linearizable, 1 not, 1 unknown"
for what in "before line 9 is explained by an order of 3 operations" "then the value is 2; after other orders: 7" "^ +8 +9 +2  read 1" "^ +4 +- +3  write 7, without"; do
    grep -qE -- "$what" "$work/out" || fail "it does not say \"$what\": $(cat "$work/out")"
done
python3 - "$work/page.html" << 'END' || fail "the page: $(head -c 600 "$work/page.html")"
import html.parser, re, sys
text = open(sys.argv[1]).read()
assert "Line 9, process 2" in text and "k&#60;1&#62;" in text and "k<1>" not in text, "what it says"
assert text.count("<svg") == 2 and "<script" not in text and not re.search(r"(src|href)\s*=|url\(", text), "what it needs"
stack = []
class P(html.parser.HTMLParser):
    def handle_starttag(self, t, a):
        if t in ("svg", "g", "details", "table", "div"): stack.append(t)
    def handle_endtag(self, t):
        if t in ("svg", "g", "details", "table", "div"): assert stack.pop() == t, t
P().feed(text)
assert not stack, stack
END
sim check-history "$work/bad" --json
expect 3 "as JSON"
python3 - "$work/out" << 'END' || fail "$(cat "$work/out")"
import json, sys
d = json.load(open(sys.argv[1]))
f = d["found"][0]
assert (d["verdict"], d["model"], d["operations"], d["keys"]) == ("violation", "cas", 6, 1), d
assert f["key"] == "k<1>" and f["unexplained"]["answered_line"] == 9 and f["values"] == ["2", "7"], f
assert [o["what"] for o in f["order"]] == ["write 1", "cas [1, 2]", "read 2"], f
END
sim check-history "$work/hard" --steps 5000
expect 8 "a search that is given up" "hard: unknown"
sim check-history "$work/hard"
expect 3 "the same to its end" "NOT linearizable"

# what cannot be
{ good; event 9 ok read 1; } > "$work/broken"
sim check-history "$work/broken" "$work/good"
expect 2 "a broken one among others" "broken:8: process 9 has an answer to nothing"
grep -q "1 linearizable, 0 not, 0 unknown, 1 not readable" "$work/out" || fail "the other one was left out: $(cat "$work/out")"
sim check-history "$work/bad" --model register
expect 2 "of another model" "bad:3: the model register has no cas"
: > "$work/empty"
sim check-history "$work/empty"
expect 2 "an empty file" "no operation in 0 lines"
sim check-history /usr/bin/env
expect 2 "a file that is no text" "no operation"
sim check-history "$work/none"
expect 2 "a file that is not there" "No such file"
sim check-history "$work"
expect 2 "a directory" "Is a directory"
sim check-history
expect 2 "nothing" "which history"
sim check-history "$work/good" --model queue
expect 2 "an unknown model" "value of --model"
sim check-history "$work/good" --stepps 3
expect 2 "an unknown option" "did you mean --steps"
sim check-history "$work/good" --html "$work/no/page.html"
expect 2 "a page that cannot be written" "cannot write"
sim check-history --help
expect 0 "help" "Exit status"

data=${TARN_TEST_DATA:-/nowhere}/data/histories
if ls "$data"/etcd_*.log > /dev/null 2>&1; then # their verdicts: tests/unit/test_lab_wgl.c
    sim check-history "$data"/etcd_*.log "$data"/kv_*.txt --quiet
    expect 3 "known histories" "0 unknown, 0 not readable"
    good="002 005 007 018 025 031 038 045 048 049 051 053 056 067 075 076 080 087 092 098 100 101 102"
    while read -r line; do
        n=${line##*etcd_} n=${n%%.log*}
        case "$line" in
            *etcd_*) want=NOT; [[ " $good " == *" $n "* ]] && want=linearizable ;;
            *-ok.txt*) want=linearizable ;;
            *) want=NOT ;;
        esac
        [[ "$line" == *": $want "* || "$line" == *": $want: "* ]] || fail "the wrong verdict: $line"
    done < <(grep -E "^/.*(log|txt): " "$work/out")
else
    echo "SKIP known histories: TARN_TEST_DATA names no folder with data/histories"
fi
echo "ok"
