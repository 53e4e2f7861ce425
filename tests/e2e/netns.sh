# tests/e2e/netns.sh - sourced before lib.sh by tests that need hosts of their own: the test begins anew
# as root of a network (and mount) namespace of its own, which has nothing but a loopback that is down.
#
#   . "$(dirname "$0")/netns.sh"; . "$(dirname "$0")/lib.sh" "$@"
#   netns_host VAR            a further host: VAR is a process in it, `on $VAR COMMAND...` runs there
PATH=$PATH:/usr/sbin:/sbin
if [ -z "${TARN_TEST_NETNS:-}" ]; then
    flags=-nm
    [ "$(id -u)" = 0 ] || flags=-Urnm
    command -v ip > /dev/null || { echo "SKIP: no iproute2"; exit 77; }
    unshare $flags true 2> /dev/null || { echo "SKIP: no network namespaces here"; exit 77; }
    TARN_TEST_NETNS=1 exec unshare $flags "$0" "$@"
fi
on() { local pid=$1; shift; nsenter -t "$pid" -n "$@"; }
netns_host() {
    unshare -n sleep 600 &
    printf -v "$1" %s $!
    wait_for 10 bash -c "[ \"\$(readlink /proc/$!/ns/net)\" != \"\$(readlink /proc/self/ns/net)\" ]" || fail "no namespace for $1"
    on $! ip link set lo up || fail "$1 has no loopback"
}
