#!/bin/bash
# tests/vm/test_zk_nfs.sh BUILD - the ZooKeeper journal on real NFS: in a guest (guest.sh) whose kernel serves an ext4 file
# system by NFSv4.1 to three masters, each with a mount of its own that shares no cache (nosharecache).  The leader
# is killed, another one stands still for longer than its session and goes on, and the server stands still;
# meanwhile clients work, and the simulator's checker judges their history.
#
# Exit status: 0 all is well, 1 failed, 77 skipped: a package is missing (nfs-kernel-server, nfs-common, zookeeper, or
# one of guest.sh's), or the kernel cannot be fetched.  About five minutes.
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:?usage: $0 BUILD_DIR}" && pwd)
if [ -z "${GUEST_WORK:-}" ]; then
    for need in exportfs rpc.nfsd rpc.mountd mount.nfs mkfs.ext4 java; do
        PATH=$PATH:/usr/sbin:/sbin command -v $need > /dev/null || { echo "SKIP: no $need here (nfs-kernel-server, nfs-common, e2fsprogs, zookeeper)"; exit 77; }
    done
    [ -r /usr/share/java/zookeeper.jar ] || { echo "SKIP: no ZooKeeper here (apt-get install zookeeper)"; exit 77; }
    # the guest has its own /tmp: only what stands elsewhere is seen
    "$here/guest.sh" -m 2048 -t "${TARN_GUEST_TIME:-1200}" -k "ext4 nfsd nfsv4" bash "$here/test_zk_nfs.sh" "$build"
    code=$?
    [ $code != 125 ] || { echo "SKIP: the guest does not start here"; exit 77; }
    exit $code
fi

# --- in the guest ---
export PATH=$build:$PATH
work=/run/nfs-test
mkdir -p $work /export
say() { printf '%s %s\n' "$(cut -d' ' -f1 /proc/uptime)" "$*"; }
fail() {
    say "FAILED: $*"
    tail -n 8 $work/*.log
    dmesg | tail -n 5
    exit 1
}
wait_for() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.5
    done
}
mkfs.ext4 -q -F /dev/nvme0n1 && mount /dev/nvme0n1 /export || fail "no disk"
mount -t nfsd nfsd /proc/fs/nfsd
mkdir -p /run/rpc_pipefs /var/lib/nfs/v4recovery
mount -t rpc_pipefs pipes /run/rpc_pipefs
exportfs -o rw,sync,no_root_squash,no_subtree_check,fsid=0 127.0.0.1:/export || fail "exportfs"
rpc.mountd -N 3 && rpc.nfsd -N 3 --grace-time 10 --lease-time 10 8 || fail "the NFS server does not start"
for i in 1 2 3; do
    mkdir -p /mnt/$i
    timeout 60 mount -t nfs4 -o vers=4.1,nosharecache,hard,proto=tcp 127.0.0.1:/ /mnt/$i || fail "mount $i"
done
[ "$(grep -c 'nfs4.*nosharecache' /proc/mounts)" = 3 ] || fail "these are no three mounts: $(grep nfs4 /proc/mounts)"
say "three mounts of one directory"

mkdir $work/zk
cat > $work/zk/zoo.cfg <<END
tickTime=1000
dataDir=$work/zk
clientPort=2181
clientPortAddress=127.0.0.1
admin.enableServer=false
4lw.commands.whitelist=srvr
END
java -Dzookeeper.forceSync=no -Xms32m -Xmx192m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \
    -cp /usr/share/java/zookeeper.jar:/usr/share/java/slf4j-nop.jar \
    org.apache.zookeeper.server.quorum.QuorumPeerMain $work/zk/zoo.cfg > $work/zk.log 2>&1 &
all=127.0.0.1:7701,127.0.0.1:7702,127.0.0.1:7703
zk_answers() { tarn zk ping --connect 127.0.0.1:2181 -t 5s > $work/ping.log 2>&1; }
wait_for 240 zk_answers || fail "ZooKeeper does not start"
say "ZooKeeper is there"

declare -A pid
cat > $work/tarn.json <<END
{"journal": {"type": "zk", "segment": "1MiB", "image_after": "2MiB", "zk": {"connect": "127.0.0.1:2181", "session": "4s"}},
 "client": {"masters": "$all"},
 "master": {"lease": "5s", "session": "60s", "memory": "128MiB"},
 "mounts": [{"path": "/", "mode": "meta"}]}
END
own() { echo "-c $work/tarn.json --set journal.id=$1 --set master.listen=127.0.0.1:770$1 --set master.dir=$work/m$1 --set journal.zk.shared_dir=/mnt/$1/tarn"; }
start() {
    tarn master $(own "$1") >> $work/master$1.log 2>&1 &
    pid[$1]=$!
}
leader() { timeout 20 tarn zk get /leader --connect 127.0.0.1:2181 -t 10s 2> /dev/null | awk '{print $1}'; }
leads() { [ "$(leader)" ]; }
another_leads() { local n; n=$(leader); [ "$n" ] && [ "$n" != "$1" ]; }
mkdir $work/m1 $work/m2 $work/m3 /mnt/1/tarn
timeout 120 tarn journal bootstrap $(own 1) > $work/bootstrap.log 2>&1 || fail "bootstrap: $(cat $work/bootstrap.log)"
say "$(head -1 $work/bootstrap.log)"
for i in 1 2 3; do start $i; done
wait_for 120 leads || fail "nobody leads"
say "member $(leader) leads"

chaos load $all / $work/history -t 100000 > $work/load.log 2>&1 &
loading=$!
sleep 20
old=$(leader)
say "kill -9 of $old"
kill -9 "${pid[$old]}"
wait_for 90 another_leads "$old" || fail "after the death of $old nobody leads"
say "member $(leader) leads"
sleep 10
start "$old"
sleep 10
old=$(leader)
say "$old stands still for 20 s"
kill -STOP "${pid[$old]}"
wait_for 90 another_leads "$old" || fail "while $old stands still nobody leads"
say "member $(leader) leads"
sleep 10
kill -CONT "${pid[$old]}"
sleep 15
say "the NFS server stands still for 5 s"
rpc.nfsd 0
sleep 5
rpc.nfsd -N 3 --grace-time 10 --lease-time 10 8
sleep 40
wait_for 60 leads || fail "nobody leads after the server was back"
kill -0 $loading || fail "the load ended by itself: $(cat $work/load.log)"
kill -TERM $loading
wait $loading
verdict=$(chaos check $work/history 2>&1) || { cp $work/history "$GUEST_WORK"; fail "$verdict"; }
say "$verdict"
for i in 1 2 3; do
    kill -0 "${pid[$i]}" || fail "master $i ended by itself"
    kill -TERM "${pid[$i]}"
done
for i in 1 2 3; do wait "${pid[$i]}" || fail "master $i ended with status $?"; done
say "ok"
