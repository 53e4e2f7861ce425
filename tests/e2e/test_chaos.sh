#!/bin/bash
# Three and five masters are killed, stopped, cut off and filled up while clients use them; the
# simulator's checker judges (tests/chaos/chaos.sh; 1,000 rounds: tests/nightly --only chaos).
build=$(cd "${1:?usage: $0 BUILD_DIR}" && pwd)
chaos=$(dirname "$0")/../chaos/chaos.sh
"$chaos" "$build" --masters 3 --rounds 28 || exit
"$chaos" "$build" --masters 5 --rounds 10
