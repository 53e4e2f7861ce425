#!/bin/bash
# The conformance suite of tests/zk, which sim_zk passes (test_lab_zk), against Debian's ZooKeeper: one
# server, then three, with the cases at a follower and at the leader.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/zookeeper.sh"
need_zookeeper

suite() { # suite SERVER: in the background, with the cases at that one of them, counted from 1
    zk-suite --connect "$zk_connect" --tick 500 --server $(($1 - 1)) > "$work/suite-$1.log" 2>&1 &
    pids[suite$1]=$!
}
suite_ends() { # suite_ends NAME SERVER
    wait "${pids[suite$2]}" ||
        fail "$1: $(grep -e FAILED -e '^  [a-z_]*: ' "$work/suite-$2.log" | head -n 60; tail -n 1 "$work/suite-$2.log")"
    unset "pids[suite$2]"
    echo "$1: $(tail -n 1 "$work/suite-$2.log")"
}

zk_ensemble 1
suite 1
suite_ends "one server" 1
zk_kill 1

zk_connect= port=$((port + 9))
rm -rf "$work"/zk1
zk_ensemble 3
for i in 1 2 3; do suite $i; done
for i in 1 2 3; do suite_ends "three servers, at a $(zk_mode $i)" $i; done
