# tests/e2e/zookeeper.sh - sourced after lib.sh: real ZooKeeper servers on loopback, of Debian's package.
#
#   need_zookeeper                 skips the test where there is none
#   zk_ensemble N                  N servers (1 or 3), ready; $zk_connect names them
#   zk_kill I; zk_start I; zk_pause I; zk_go_on I; zk_wait_ready I; zk_mode I ("leader", "follower", "standalone")
# Their ports: clients $port+10.., servers among themselves $port+13.., elections $port+16...
zk_jars=/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-nop.jar
zk_connect=
zk_n=0

need_zookeeper() {
    command -v java > /dev/null || skip "no Java here (apt-get install zookeeper)"
    [ -r /usr/share/java/zookeeper.jar ] || skip "no ZooKeeper here (apt-get install zookeeper)"
}
zk_port() { echo $((port + 9 + $1)); }
zk_start() { # I
    java -Xms32m -Xmx192m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$zk_jars" \
        org.apache.zookeeper.server.quorum.QuorumPeerMain "$work/zk$1/zoo.cfg" >> "$work/zk$1.log" 2>&1 &
    pids[zk$1]=$!
}
zk_kill() { kill -9 "${pids[zk$1]}" 2> /dev/null; wait "${pids[zk$1]}" 2> /dev/null; unset "pids[zk$1]"; }
zk_pause() { kill -STOP "${pids[zk$1]}"; }
zk_go_on() { kill -CONT "${pids[zk$1]}"; }
zk_mode() { # I: what it says of itself; nothing while it serves nobody
    { exec 9<> "/dev/tcp/127.0.0.1/$(zk_port "$1")"; } 2> /dev/null || return 1
    echo srvr >&9 2> /dev/null
    timeout 2 cat <&9 2> /dev/null | sed -n 's/^Mode: //p'
    exec 9>&-
}
zk_is_ready() { [ "$(zk_mode "$1")" ]; }
zk_wait_ready() { wait_for 60 zk_is_ready "$1" || fail "ZooKeeper server $1 does not get ready"; }
zk_ensemble() { # N
    local i k
    zk_n=$1
    for i in $(seq "$zk_n"); do
        mkdir -p "$work/zk$i"
        echo "$i" > "$work/zk$i/myid"
        {
            echo "tickTime=500"
            echo "initLimit=20"
            echo "syncLimit=10"
            echo "dataDir=$work/zk$i"
            echo "clientPort=$(zk_port "$i")"
            echo "clientPortAddress=127.0.0.1"
            echo "admin.enableServer=false"
            echo "4lw.commands.whitelist=srvr,ruok,cons,wchs"
            [ "$zk_n" = 1 ] || for k in $(seq "$zk_n"); do
                echo "server.$k=127.0.0.1:$((port + 12 + k)):$((port + 15 + k))"
            done
        } > "$work/zk$i/zoo.cfg"
        zk_start "$i"
        zk_connect=${zk_connect:+$zk_connect,}127.0.0.1:$(zk_port "$i")
    done
    for i in $(seq "$zk_n"); do zk_wait_ready "$i"; done
}
