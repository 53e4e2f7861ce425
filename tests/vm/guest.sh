#!/bin/bash
# tests/vm/guest.sh - runs a command in a throw-away guest of QEMU, with a kernel that has what this
# machine's lacks: an NFS server, NVMe, RDMA.
#
#   guest.sh [-m MIB] [-d DISK_MIB] [-t SECONDS] [-k MODULES] COMMAND [ARG...]
#
# The guest sees the host's files at the same paths; what it writes there goes to its memory and is
# lost.  Only $GUEST_WORK, a directory that both see, stays until the end and is removed then unless
# GUEST_KEEP is set.  It has loopback and /dev/nvme0n1 of DISK_MIB, zeroed.  Software emulation: ten
# times slower than the host, and more.  Output comes as it is written; the exit status is the
# command's; 124: not in time, 125: the guest did not get that far.
#
# Debian packages: qemu-system-x86 busybox-static cpio kmod xz-utils, and the kernel that apt calls
# linux-image-amd64, which is only unpacked, into ${TARN_GUEST_CACHE:-/var/tmp/tarn-guest}.
set -eu
mem=1536 disk=512 limit=600 modules=
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
while getopts m:d:t:k: o; do
    case $o in
    m) mem=$OPTARG ;; d) disk=$OPTARG ;; t) limit=$OPTARG ;; k) modules=$OPTARG ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || usage
for need in qemu-system-x86_64 busybox cpio modprobe xz; do
    command -v "$need" > /dev/null || { echo "SKIP: guest.sh needs $need (see its head for packages)"; exit 77; }
done
cache=${TARN_GUEST_CACHE:-/var/tmp/tarn-guest}
base="virtio_pci 9pnet_virtio 9p overlay nvme"
mkdir -p "$cache"
die() { echo "guest.sh: $*" >&2; exit 125; }

# --- the kernel and its modules, once; beside, and renamed when whole ---
fetch() {
    local name at new
    new=$(mktemp -d "$cache/new.XXXXXX")
    name=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-/ {print $2; exit}')
    [ "$name" ] || die "apt knows no linux-image-amd64: apt-get update?"
    (cd "$new" && apt-get download -qq -o APT::Sandbox::User=root "$name" && dpkg-deb -x ./*.deb .) ||
        die "the kernel package $name could not be fetched"
    rm "$new"/*.deb
    at=$(basename "$new"/lib/modules/*)
    depmod -b "$new" "$at"
    # vmlinuz unpacks itself slowly under emulation; the ELF file in it starts at once
    local from
    from=$(LC_ALL=C grep -obUaP '\xFD7zXZ\x00' "$new/boot/vmlinuz-$at" | head -1 | cut -d: -f1)
    { tail -c +$((from + 1)) "$new/boot/vmlinuz-$at" | xz -dc > "$new/vmlinux" 2> /dev/null; } || true
    [ -s "$new/vmlinux" ] || die "no kernel in $name"
    echo "$at" > "$new/release"
    rm -rf "$cache/kernel"
    mv "$new" "$cache/kernel"
}
exec 9> "$cache/lock"
flock 9
[ -f "$cache/kernel/release" ] || fetch
release=$(cat "$cache/kernel/release")

# --- what the guest starts from: busybox and the modules that reach the host's files ---
work=$(mktemp -d "${TMPDIR:-/tmp}/tarn-guest-XXXXXX")
pid= tail=
cleanup() {
    [ -z "$pid" ] || kill "$pid" 2> /dev/null || true
    [ -z "$tail" ] || kill "$tail" 2> /dev/null || true
    [ "${GUEST_KEEP:-}" ] && echo "kept: $work" >&2 || rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
root=$work/root
mkdir -p "$root"/{bin,proc,sys,dev,low,up,new} "$work/shared"
cp "$(command -v busybox)" "$root/bin/busybox"
for m in $base; do
    modprobe -d "$cache/kernel" -S "$release" --show-depends "$m" | awk '$1 == "insmod" {print $2}'
done | sort -u | while read -r file; do
    install -D "$file" "$root${file#"$cache/kernel"}"
done
cp "$cache/kernel/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} "$root/lib/modules/$release/"
depmod -b "$root" "$release"
exec 9>&-
cat > "$root/init" <<END
#!/bin/busybox sh
B=/bin/busybox
\$B mount -t proc p /proc; \$B mount -t sysfs s /sys; \$B mount -t devtmpfs d /dev
\$B modprobe -a $base
\$B ip link set lo up
P=trans=virtio,version=9p2000.L,msize=262144
\$B mount -t 9p -o ro,cache=loose,\$P host /low
\$B mount -t tmpfs -o mode=755 t /up; \$B mkdir /up/upper /up/work
\$B mount -t overlay -o lowerdir=/low,upperdir=/up/upper,workdir=/up/work o /new
for d in proc sys dev; do \$B mount --move /\$d /new/\$d; done
\$B mkdir -p /new/dev/pts /new/dev/shm /new/lib/modules/$release /new$work/shared
\$B mount -t devpts p /new/dev/pts; \$B mount -t tmpfs m /new/dev/shm
for d in tmp run; do \$B mount -t tmpfs t /new/\$d; done
\$B mkdir -p /new$work/shared
\$B mount --bind /new$cache/kernel/lib/modules/$release /new/lib/modules/$release
\$B mount -t 9p -o rw,cache=none,access=any,\$P shared /new$work/shared
exec \$B chroot /new /bin/bash $work/shared/inside
END
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) > "$work/initrd"
{
    echo "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root"
    echo "hostname guest; ulimit -l unlimited"
    for m in $modules; do echo "modprobe $m || echo \"no module $m\""; done
    printf 'export GUEST_WORK=%q; cd %q; (' "$work/shared" "$PWD"
    printf ' %q' "$@"
    echo ' ) < /dev/null > "$GUEST_WORK/out" 2>&1; echo $? > "$GUEST_WORK/status.new"; sync'
    echo 'mv "$GUEST_WORK/status.new" "$GUEST_WORK/status"; echo o > /proc/sysrq-trigger; sleep 60'
} > "$work/shared/inside"
: > "$work/shared/out"
truncate -s "${disk}M" "$work/disk"
tail -n +1 -f "$work/shared/out" &
tail=$!
code=0
timeout -k 5 "$limit" qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none -M pc,usb=off \
    -accel tcg,thread=multi,tb-size=256 -cpu max,la57=off -smp 2 -m "$mem" \
    -kernel "$cache/kernel/vmlinux" -initrd "$work/initrd" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off audit=0 apparmor=0 random.trust_cpu=on" \
    -serial "file:$work/console" \
    -fsdev "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap" -device virtio-9p-pci,fsdev=host,mount_tag=host \
    -fsdev "local,id=shared,path=$work/shared,security_model=none" -device virtio-9p-pci,fsdev=shared,mount_tag=shared \
    -drive "if=none,id=disk,format=raw,file=$work/disk,cache=unsafe" -device nvme,drive=disk,serial=guest0 \
    < /dev/null 2> "$work/qemu.log" & pid=$!
wait "$pid" || code=$?
pid=
sleep 0.3
kill "$tail" 2> /dev/null || true
tail=
[ "$code" != 124 ] || { tail -n 20 "$work/console" >&2; echo "guest.sh: not done in $limit s" >&2; exit 124; }
[ -s "$work/shared/status" ] || { tail -n 30 "$work/console" "$work/qemu.log" >&2; die "the guest did not come to its end"; }
exit "$(cat "$work/shared/status")"
