#!/bin/bash
# The conformance suite of tests/zk, which sim_zk passes (test_lab_zk), against Debian's ZooKeeper: one
# server, then three, with the cases at a follower and at the leader.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/zookeeper.sh"
need_zookeeper

suite() { # suite NAME SERVER: at that one of them, counted from 0
    zk-suite --connect "$zk_connect" --tick 500 --server "$2" > "$work/suite-$2.log" 2>&1 ||
        fail "$1: $(grep -e FAILED -e '^  [a-z_]*: ' "$work/suite-$2.log" | head -n 60; tail -n 1 "$work/suite-$2.log")"
    echo "$1: $(tail -n 1 "$work/suite-$2.log")"
}

zk_ensemble 1
suite "one server" 0
zk_kill 1

zk_connect= port=$((port + 9))
rm -rf "$work"/zk1
zk_ensemble 3
for i in 1 2 3; do
    suite "three servers, at a $(zk_mode $i)" $((i - 1))
done
