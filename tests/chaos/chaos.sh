#!/bin/bash
# tests/chaos/chaos.sh - a cluster of real masters, each in a network namespace of its own, is broken
# again and again while clients use it; then the simulator's checker judges their history.
#
#   chaos.sh BUILD_DIR [--masters N] [--rounds N] [--faults LIST] [--seed N] [--reads leader|any] [--keep]
#
# Faults: kill (SIGKILL, started again), stop (SIGSTOP for 1 to 10 s), cut (nothing in, nothing out),
# mute (nothing out), deaf (nothing in), part (cut from one other master), full (its disk).
# Ten rounds share one history; in every other ten clients read from any master.  Exit status: 0 all is well, 1 failed, 77 skipped (not root, no nft).
set -u
build=$(cd "${1:?usage: $0 BUILD_DIR [--masters N] [--rounds N] [--faults LIST] [--seed N] [--reads leader|any] [--keep]}" && pwd)
shift
masters=3 rounds=20 faults=kill,stop,cut,mute,deaf,part,full seed=$RANDOM reads= keep=
while [ $# -gt 0 ]; do
    case $1 in
    --masters) masters=$2; shift ;;
    --rounds) rounds=$2; shift ;;
    --faults) faults=$2; shift ;;
    --seed) seed=$2; shift ;;
    --reads) reads=$2; shift ;;
    --keep) keep=1 ;;
    *) echo "chaos.sh: $1: unknown; expected --masters, --rounds, --faults, --seed, --reads or --keep" >&2; exit 2 ;;
    esac
    shift
done
[ "$(id -u)" = 0 ] || { echo "SKIP: chaos needs root for network namespaces"; exit 77; }
command -v nft > /dev/null || { echo "SKIP: chaos needs nft (nftables)"; exit 77; }
export PATH=$build:$PATH LC_ALL=C.UTF-8
RANDOM=$seed
work=$(mktemp -d "${TMPDIR:-/tmp}/tarn-chaos-XXXXXX")
tag=$(printf 'tc%04x' $(($$ % 65536)))
net=10.$((64 + $$ % 64)).$((RANDOM % 250))
declare -A pid=() load=()
say() { printf '%s %s\n' "$(date +%T.%3N)" "$*" | tee -a "$work/chaos.log"; }

cleanup() {
    local code=$? i
    trap - EXIT INT TERM
    for i in "${!pid[@]}"; do kill -CONT "${pid[$i]}" 2>/dev/null; kill -9 "${pid[$i]}" 2>/dev/null; done
    [ "${load[pid]:-}" ] && kill -9 "${load[pid]}" 2>/dev/null
    wait 2>/dev/null
    for i in $(seq "$masters"); do
        mountpoint -q "$work/disk$i" && umount "$work/disk$i"
        ip netns del "$tag-$i" 2>/dev/null
    done
    ip link del "$tag" 2>/dev/null
    [ "$keep" ] && echo "kept: $work" || rm -rf "$work"
    exit $code
}
trap cleanup EXIT
trap 'exit 130' INT TERM
fail() {
    say "FAILED (seed $seed): $*"
    tail -n 12 "$work"/master*.log
    keep=1
    exit 1
}

# --- the network: a bridge, a namespace for each master; clients are on the bridge's side ---
ip link add "$tag" type bridge && ip addr add "$net.254/24" dev "$tag" && ip link set "$tag" up || exit 1
members=
for i in $(seq "$masters"); do
    ip netns add "$tag-$i" && ip link add "$tag.$i" type veth peer name eth0 netns "$tag-$i" || exit 1
    ip link set "$tag.$i" master "$tag" up
    ip -n "$tag-$i" addr add "$net.$i/24" dev eth0
    ip -n "$tag-$i" link set eth0 up
    ip -n "$tag-$i" link set lo up
    ip netns exec "$tag-$i" nft -f - <<END || exit 1
table ip chaos {
  chain out { type filter hook output priority 0; }
  chain in { type filter hook input priority 0; }
}
END
    members+=${members:+,}$i@$net.$i:7700
    truncate -s 256M "$work/disk$i.img"
    mkdir -p "$work/disk$i"
    mkfs.ext4 -q -F -m 0 "$work/disk$i.img" 2>/dev/null && mount -o loop "$work/disk$i.img" "$work/disk$i" 2>/dev/null ||
        faults=${faults//full/kill} # no loop devices here
    mkdir -p "$work/disk$i/journal"
done

tarn secret new "$work/secret" > /dev/null || fail "tarn secret"
cat > "$work/tarn.json" <<END
{"cluster": {"secret_file": "$work/secret"},
 "journal": {"type": "raft", "members": "$members", "segment": "1MiB", "image_after": "2MiB", "keep_entries": 2000},
 "master": {"lease": "2s", "session": "30s", "memory": "256MiB"},
 "mounts": [{"path": "/", "mode": "meta"}]}
END
own() { echo "-c $work/tarn.json --set journal.id=$1 --set master.listen=$net.$1:7700 --set master.dir=$work/disk$1/journal"; }
start() {
    ip netns exec "$tag-$1" tarn master $(own "$1") >> "$work/master$1.log" 2>&1 &
    pid[$1]=$!
}
cluster=
for i in $(seq "$masters"); do
    out=$(ip netns exec "$tag-$i" tarn journal bootstrap $(own "$i") ${cluster:+--cluster $cluster} 2>&1) || fail "bootstrap: $out"
    cluster=$(grep -oE '[0-9a-f]{32}' <<< "$out" | head -1)
done
for i in $(seq "$masters"); do start "$i"; done

# who leads in the highest term, by the masters' own words
leader() {
    grep -hoE 'member [0-9]+ leads in term [0-9]+' "$work"/master*.log | sort -k6 -n | tail -1 | awk '{print $2}'
}
drop() { ip netns exec "$tag-$1" nft add rule ip chaos "$2" ${3:+ip $4 "$3"} drop; }
heal() { ip netns exec "$tag-$1" nft flush table ip chaos; }
pause() { sleep "$((RANDOM % $1)).$((RANDOM % 10))"; }

round() {
    local list=(${faults//,/ }) victim=$(leader) fault other t
    fault=${list[$((RANDOM % ${#list[@]}))]}
    [ "$victim" ] && [ $((RANDOM % 10)) -lt 7 ] || victim=$((RANDOM % masters + 1))
    other=$((victim % masters + 1))
    say "round $1 of $rounds: $fault master $victim (leader: $(leader))"
    case $fault in
    kill) kill -9 "${pid[$victim]}"; wait "${pid[$victim]}" 2>/dev/null; pause 3; start "$victim" ;;
    stop) kill -STOP "${pid[$victim]}"; sleep "$((1 + RANDOM % 9))"; kill -CONT "${pid[$victim]}" ;;
    cut) drop "$victim" out; drop "$victim" in; sleep 2; pause 3; heal "$victim" ;;
    mute) drop "$victim" out; sleep 2; pause 3; heal "$victim" ;;
    deaf) drop "$victim" in; sleep 2; pause 3; heal "$victim" ;;
    part) drop "$victim" out "$net.$other" daddr; drop "$victim" in "$net.$other" saddr; sleep 2; pause 3; heal "$victim" ;;
    full) full=$1; dd if=/dev/zero of="$work/disk$victim/ballast" bs=1M 2>/dev/null; sleep 2; pause 3; rm "$work/disk$victim/ballast" ;;
    esac
    pause 2
    for t in "${!pid[@]}"; do
        kill -0 "${pid[$t]}" 2>/dev/null && continue
        wait "${pid[$t]}"
        local code=$?
        [ "$1" -le $((full + 3)) ] || fail "master $t ended by itself ($code)"
        start "$t"
    done
}

full=-9 # the last round that filled a disk: a master may end because of that
all=$(seq -f "$net.%g:7700" -s, "$masters")
say "seed $seed, $masters masters, $rounds rounds, faults $faults"
for ((r = 1; r <= rounds;)); do
    history=$work/history-$r
    from=${reads:-$([ $((r / 10 % 2)) = 1 ] && echo any || echo leader)}
    say "reads from $from"
    chaos load "$all" / "$history" -t 100000 -s "$work/secret" $([ "$from" = any ] && echo -a) > "$work/load.log" 2>&1 &
    load[pid]=$!
    sleep 1
    for ((k = 0; k < 10 && r <= rounds; k++, r++)); do
        kill -0 "${load[pid]}" 2>/dev/null || fail "the clients ended: $(cat "$work/load.log")"
        round "$r"
    done
    sleep 2
    kill -TERM "${load[pid]}"
    wait "${load[pid]}" || fail "the clients: $(cat "$work/load.log")"
    load[pid]=
    say "$(cat "$work/load.log")"
    verdict=$(chaos check "$history" 2>&1) || fail "$verdict ($history)"
    say "$verdict"
done
say "$rounds rounds, all is well"
