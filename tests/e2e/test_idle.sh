#!/bin/bash
# A master, a worker and a mount that have nothing to do: how often they wake up, and what that costs.
# Wake-ups do not depend on the load of this machine; the processor time has a generous bound.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
seconds=${IDLE_SECONDS:-8}
config through 1s
start_master; start_worker 1; start_mount A
echo hello > "$work/A/f"; cat "$work/A/f" > /dev/null; ls -l "$work/A" > /dev/null
sleep 2
ticks() { awk '{s += $14 + $15} END {print s}' /proc/"$1"/task/*/stat; }
wakes() { awk '/^voluntary_ctxt/ {s += $2} END {print s}' /proc/"$1"/task/*/status; }
declare -A t w
for n in "${!pids[@]}"; do t[$n]=$(ticks "${pids[$n]}") w[$n]=$(wakes "${pids[$n]}"); done
from=$(date +%s%N)
sleep "$seconds"
ms=$((($(date +%s%N) - from) / 1000000)) bad=
for n in "${!pids[@]}"; do
    dt=$(($(ticks "${pids[$n]}") - t[$n])) dw=$((($(wakes "${pids[$n]}") - w[$n]) * 1000 / ms))
    echo "$n: $dw wake-ups/s, $((dt * 1000000 / $(getconf CLK_TCK) / ms)) thousandths of a core"
    [ $dw -le 45 ] && [ $((dt * 1000 * 50)) -le $((ms * $(getconf CLK_TCK))) ] || bad="$bad $n"
done
[ -z "$bad" ] || fail "too busy when idle:$bad"
echo ok
