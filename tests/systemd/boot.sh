#!/bin/bash
# tests/systemd/boot.sh BUILD_DIR - the units of deploy/systemd under a real systemd: the first process of a
# PID namespace of our own, over a copy in memory of this machine's files (nothing here is changed), with a
# network of its own.  What is tried there: units.sh.  Status 77: not root, or not possible here.
set -u
build=$(cd "${1:?usage: $0 BUILD_DIR}" && pwd)
here=$(cd "$(dirname "$0")/../.." && pwd)
skip() { echo "SKIP: $*"; exit 77; }
inside() { # the first process of the namespaces: becomes systemd
    local root=$work/root d
    mount --make-rprivate /
    mount -t tmpfs -o mode=755 tmpfs "$work/mem" && mkdir "$work/mem/up" "$work/mem/work" || skip "no tmpfs"
    mount -t overlay -o "lowerdir=/,upperdir=$work/mem/up,workdir=$work/mem/work" overlay "$root" || skip "no overlay here"
    mount -t proc proc "$root/proc" && mount -t sysfs -o ro sysfs "$root/sys" &&
        mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup" || skip "no /proc, /sys or cgroups of our own"
    mount -t tmpfs -o mode=755 tmpfs "$root/run" && mount -t tmpfs tmpfs "$root/tmp" && mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for d in null zero full random urandom tty fuse; do
        [ -e "/dev/$d" ] && : > "$root/dev/$d" && mount --bind "/dev/$d" "$root/dev/$d"
    done
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts" && ln -s pts/ptmx "$root/dev/ptmx"
    mount -t tmpfs tmpfs "$root/dev/shm"
    mkdir -p "$root/check" "$root/out" && cp -r "$here/deploy" "$here/tests/systemd" "$root/check" && cp "$build/tarn" "$root/check/tarn"
    mount --bind "$work/out" "$root/out"
    # only our unit, and what it needs to begin with
    rm -rf "$root"/etc/systemd/system && mkdir -p "$root/etc/systemd/system"
    cat > "$root/etc/systemd/system/units.service" <<END
[Unit]
Description=tests of the units
After=basic.target
[Service]
Type=oneshot
TimeoutStartSec=280
ExecStart=/bin/bash -c '/check/systemd/units.sh > /out/log 2>&1; systemctl exit \$?'
END
    hostname host && ip link set lo up
    cd "$root" && mkdir -p old && pivot_root . old && umount -l /old
    exec env -i container=tarn PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_LOG_LEVEL=notice \
        /lib/systemd/systemd --unit=units.service --log-target=console --show-status=false < /dev/null > /out/console 2>&1
}
if [ "${2:-}" = inside ]; then
    work=$3
    inside
fi
[ "$(id -u)" = 0 ] || skip "not root"
[ -x /lib/systemd/systemd ] || skip "systemd is not installed"
command -v ip > /dev/null || skip "no iproute2"
cg=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)
[ -n "$cg" ] && [ -w "$cg" ] || skip "no cgroup2 that may be written"
work=$(mktemp -d "${TMPDIR:-/tmp}/tarn-systemd-XXXXXX")
mkdir "$work/root" "$work/mem" "$work/out"
group=$cg/tarn-test-$$
mkdir "$group" 2> /dev/null || { rm -rf "$work"; skip "no cgroup of our own"; }
end() {
    local code=$? g
    trap - EXIT
    [ -z "${child:-}" ] || kill -9 "$child" 2> /dev/null # and with it all of its namespace
    for i in $(seq 50); do
        for g in $(find "$group" -depth -type d 2> /dev/null); do rmdir "$g" 2> /dev/null; done
        [ -d "$group" ] || break
        sleep 0.1
    done
    [ "${KEEP:-}" ] && echo "kept: $work" || rm -rf "$work"
    exit $code
}
trap end EXIT
trap 'exit 130' INT TERM
(echo $BASHPID > "$group/cgroup.procs" && exec unshare --cgroup --mount --pid --fork --uts --ipc --net --kill-child "$0" "$build" inside "$work") &
child=$!
wait $child
code=$?
child=
[ -s "$work/out/log" ] || { cat "$work/out/console" 2> /dev/null | tail -30; echo "systemd did not come as far as the tests ($code)"; exit 1; }
[ $code = 0 ] || { echo "--- systemd"; tail -30 "$work/out/console"; echo "--- tests"; }
cat "$work/out/log"
exit $code
