#!/bin/bash
# tests/e2e/test_install_sim.sh BUILD - what `meson install` gives is enough for somebody who wants the simulator alone: scenarios by name, the
# schema, pages whose links and commands hold, papers, and a protocol of one's own built by pkg-config; nothing of the tree is used.
. "$(dirname "$0")/sim.sh" "$@"
for p in meson pkg-config cc; do command -v $p > /dev/null || skip "$p is not installed"; done
[ -e "$build/build.ninja" ] || skip "not a build folder of meson: nothing to install"
meson install -C "$build" --no-rebuild --quiet --destdir "$work/dest" > "$work/install" 2>&1 || fail "meson install: $(tail -n 5 "$work/install")"
prefix=$work/dest$(meson introspect --buildoptions "$build" | python3 -c 'import json, sys; print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"))')
share=$prefix/share/tarn
mv "$prefix" "$work/moved" && prefix=$work/moved share=$prefix/share/tarn # it may be taken elsewhere
export PATH=$prefix/bin:${PATH#*:}
[ "$(command -v tarn-sim)" = "$prefix/bin/tarn-sim" ] || fail "another tarn-sim: $(command -v tarn-sim)"
mkdir "$work/user" && cd "$work/user" || fail "no room"

# scenarios by name, in every command that takes one
sim list scenarios --json
expect 0 "list scenarios"
[ "$(field 'len(d["scenarios"])')" = "$(ls "$here/sim/scenarios" | wc -l)" ] || fail "other scenarios than in the tree: $(cat "$work/out")"
[ "$(field '{r["name"].rsplit("/", 1)[0] for r in d["scenarios"]}')" = "{'$share/sim/scenarios'}" ] || fail "from elsewhere: $(head -n 3 "$work/out")"
sim run first-failover --set duration=2s
expect 0 "a run by name" "^first-failover, seed 1:"
hash=$(tail -n 1 "$work/out")
sim run "$share/sim/scenarios/first-failover.json" --set duration=2s
[ "$(tail -n 1 "$work/out")" = "$hash" ] || fail "another run than by its file"
sim run register --set duration=2s --set net.latency_min=150ms --set net.latency_mean=150ms --set bound=1ms --seed 3
expect 4 "a failure by name" "^reproduce: tarn-sim run register --set duration=2s .*--seed 3"
sim campaign register raft3 --set duration=500ms --seeds 2 --marks off --db c.db --quiet
expect 0 "a campaign by name" "^raft3 with"
sim keys storm
expect 0 "keys by name"
sim run frst-failover
expect 2 "a name that is not there" "there is no scenario frst-failover; did you mean first-failover"
# what lies here comes first, and a file is a file
mkdir -p sim/scenarios && echo '{"masters": 3}' > sim/scenarios/register.json && echo '{"masters": 2}' > mine
for s in register=3 mine=2 "$share/sim/scenarios/register.json=1"; do
    sim keys "${s%=*}"
    expect 0 "$s" "^masters +${s#*=}$"
done
rm -r sim mine

# the pages: their links, their example of a scenario, the schema
tarn-sim list --schema | cmp - "$share/sim/scenario.schema.json" || fail "another schema"
python3 - "$share" << 'END' || fail "links of what is installed"
import os, re, sys
share = sys.argv[1]
bad = []
for page in ("docs/simulator.md", "papers/README.md"):
    for link in re.findall(r"\]\(([^)#:]+)[^):]*\)", open(os.path.join(share, page)).read()):
        if not os.path.exists(os.path.join(share, os.path.dirname(page), link)): bad.append(page + ": " + link)
assert not bad, bad
END
(cd "$share" && tarn-sim run sim/scenarios/first-failover.json --seed 7 --until 1s > /dev/null) || fail "the first command of the page"

# papers, measured by the program beside them
"$share/papers/run" --list > "$work/papers" || fail "papers/run --list"
grep -q '^raft-fig16 ' "$work/papers" || fail "no raft-fig16: $(cat "$work/papers")"
(export PATH=${PATH#*:}; "$share/papers/run" --quick raft-split-votes > "$work/papers") || fail "papers/run: $(tail -n 5 "$work/papers")"
[ -s papers/raft-split-votes.csv ] || fail "no samples: $(ls -R .)"

# a protocol of one's own
line=$(grep '^cc .*pkg-config.*tarn-sim' "$share/docs/simulator.md") || fail "docs/simulator.md has no line with pkg-config"
sed 's/"register"/"mine"/' "$share/sim/example/register_main.c" > my.c
sed 's/"register"/"mine"/' "$share/sim/example/register.json" > my.json
pc=$(find "$prefix" -name tarn-sim.pc)
[ -n "$pc" ] || fail "no tarn-sim.pc"
export PKG_CONFIG_PATH=${pc%/*}
eval "${line/pkg-config/pkg-config --define-variable=prefix=$prefix}" 2> "$work/cc" || fail "$line: $(head -n 5 "$work/cc")"
./my run my.json --seed 1 > "$work/out" || fail "the example: $(tail -n 5 "$work/out")"
./my campaign my.json --seeds 1..24 --jobs 2 --quiet --marks off --first --mutant NO_WRITE_BACK > "$work/out"
[ $? = 3 ] || fail "its bug was not found: $(cat "$work/out")"
find "$prefix/include" -name '*_impl.h' -o -name '*_internal.h' | grep . && fail "headers that are nobody's business"
echo "ok"
