#!/usr/bin/env bash
# Two control planes, one PostgreSQL and two gateways on one machine, as root:
#
#   sudo deploy/example/replicas/replicas.sh
#
# It installs nothing and touches no network of this machine: everything runs in network namespaces and in a folder of its
# own, and goes when you press Ctrl-C. It needs doorward (DOORWARD names the binary; else target/release, else PATH), and
# from your distribution PostgreSQL's server programs, iproute2, nftables and util-linux:
#
#   apt install postgresql iproute2 nftables util-linux
#
#    outside, 192.0.2.0/24                                    inside, 10.0.5.0/24
#
#    laptop .31 ──┐              ┌── berlin .21 ─── .1 ──┐
#    a .11 ───────┼── switch ────┤                       ├── shop .10
#    b .12 ───────┤              └── paris .22 ──── .2 ──┘
#    db .10 ──────┘
#
# DOORWARD_EXAMPLE_TAG and DOORWARD_EXAMPLE_FOLDER name the namespaces and the folder.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TAG=${DOORWARD_EXAMPLE_TAG:-dwrep$$}
FOLDER=${DOORWARD_EXAMPLE_FOLDER:-}
MACHINES=(net db a b berlin paris shop laptop)
KEEPERS=()
POSTGRES=
PLANE_USER=nobody

die() {
    printf 'replicas: %s\n' "$1" >&2
    if [ -n "${2:-}" ] && [ -s "$2" ]; then tail -n 15 "$2" >&2; fi
    exit 1
}

find_programs() {
    local built="$HERE/../../../target/release/doorward" program
    [ "$(id -u)" = 0 ] || die 'run this as root: it makes network namespaces'
    DOORWARD=${DOORWARD:-$(if [ -x "$built" ]; then echo "$built"; else command -v doorward || true; fi)}
    [ -x "${DOORWARD:-}" ] || die 'no doorward: build it with cargo build --release --bin doorward, or set DOORWARD'
    PG=$(find /usr/lib/postgresql -maxdepth 3 -name initdb 2>/dev/null | sort -V | tail -n 1)
    [ -n "$PG" ] || die 'no PostgreSQL: apt install postgresql'
    PG=$(dirname "$PG")
    if id -u doorward >/dev/null 2>&1; then PLANE_USER=doorward; fi
    for program in ip nft setpriv; do
        command -v "$program" >/dev/null || die "no $program: apt install iproute2 nftables util-linux"
    done
}

# A folder that the control planes, which give up root, can walk through, and from which they can be started.
open_folder() {
    [ -n "$FOLDER" ] || FOLDER=$(mktemp -d "/tmp/$TAG.XXXXXX")
    mkdir -p "$FOLDER/bin" "$FOLDER/config"
    FOLDER=$(cd "$FOLDER" && pwd)
    chmod 0711 "$FOLDER"
    chmod 0755 "$FOLDER/bin" "$FOLDER/config"
    install -m 0755 "$DOORWARD" "$FOLDER/bin/doorward"
    install -m 0644 "$HERE"/*.toml "$FOLDER/config/"
    DOORWARD=$FOLDER/bin/doorward
    cd "$FOLDER"
}

# plug MACHINE INTERFACE SWITCH ADDRESS: a cable from a machine to one of the switches.
plug() {
    ip link add "$2" netns "$TAG-$1" type veth peer name "$1-$2" netns "$TAG-net"
    ip -n "$TAG-net" link set "$1-$2" master "$3" up
    ip -n "$TAG-$1" addr add "$4/24" dev "$2"
    ip -n "$TAG-$1" link set "$2" up
}

lay_cables() {
    local machine
    for machine in "${MACHINES[@]}"; do
        ip netns add "$TAG-$machine"
        ip -n "$TAG-$machine" link set lo up
    done
    ip -n "$TAG-net" link add outside type bridge
    ip -n "$TAG-net" link add inside type bridge
    ip -n "$TAG-net" link set outside up
    ip -n "$TAG-net" link set inside up
    plug db wan outside 192.0.2.10
    plug a wan outside 192.0.2.11
    plug b wan outside 192.0.2.12
    plug berlin wan outside 192.0.2.21
    plug paris wan outside 192.0.2.22
    plug laptop wan outside 192.0.2.31
    plug berlin lan inside 10.0.5.1
    plug paris lan inside 10.0.5.2
    plug shop lan inside 10.0.5.10
}

start_database() {
    local user=postgres
    id -u postgres >/dev/null 2>&1 || user=nobody
    mkdir -p "$FOLDER/db"
    chown "$user" "$FOLDER/db"
    AS=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
    (cd "$FOLDER/db" && "${AS[@]}" "$PG/initdb" -D "$FOLDER/db/data" -A trust -U doorward -E UTF8 --locale=C) \
        >"$FOLDER/db.log" 2>&1 || die 'initdb failed' "$FOLDER/db.log"
    # Nobody but the two control planes is on this network with it; anywhere else, a password and TLS belong here.
    printf 'local all all trust\nhost all all 192.0.2.11/32 trust\nhost all all 192.0.2.12/32 trust\n' \
        >"$FOLDER/db/data/pg_hba.conf"
    (cd "$FOLDER/db" && exec ip netns exec "$TAG-db" "${AS[@]}" "$PG/postgres" -D "$FOLDER/db/data" -k "$FOLDER/db" \
        -c listen_addresses=192.0.2.10) >>"$FOLDER/db.log" 2>&1 &
    POSTGRES=$!
    wait_for 30 "$PG/pg_isready" -q -h "$FOLDER/db" || die 'PostgreSQL did not start' "$FOLDER/db.log"
    "${AS[@]}" "$PG/createdb" -h "$FOLDER/db" -U doorward doorward
}

# wait_for SECONDS COMMAND…: until the command succeeds.
wait_for() {
    local left=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 0.1
    done
}

# doorward_at NAME COMMAND…: the command line of a control plane.
doorward_at() {
    local name=$1
    shift
    "$DOORWARD" "$@" --data "$FOLDER/$name" --config "$FOLDER/config/$name.toml"
}

# A folder for one of them; the control planes' are an ordinary user's.
data_folder() {
    mkdir -p "$FOLDER/$1"
    chmod 0750 "$FOLDER/$1"
    if [ "${2:-}" = control-plane ]; then chown "$PLANE_USER:$(id -g "$PLANE_USER")" "$FOLDER/$1"; fi
}

# keep NAME PART: runs `doorward run PART` on the machine of that name, and again when it was killed, as systemd would.
keep() {
    local name=$1 part=$2 as=()
    data_folder "$name" "$part"
    if [ "$part" = control-plane ]; then
        as=(env "HOME=$FOLDER/$name" setpriv "--reuid=$PLANE_USER" "--regid=$(id -g "$PLANE_USER")" --clear-groups)
    fi
    (
        trap 'kill "$child" 2>/dev/null; wait "$child" 2>/dev/null; exit 0' TERM
        while :; do
            ip netns exec "$TAG-$name" "${as[@]}" "$DOORWARD" run "$part" --data "$FOLDER/$name" --config "$FOLDER/config/$name.toml" \
                >>"$FOLDER/$name.log" 2>&1 &
            child=$!
            echo "$child" >"$FOLDER/$name.pid"
            wait "$child" || true
            sleep 1 &
            child=$!
            wait "$child" || true
        done
    ) &
    KEEPERS+=($!)
}

clean_up() {
    local pid machine
    trap - EXIT INT TERM HUP
    for pid in "${KEEPERS[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${KEEPERS[@]}"; do wait "$pid" 2>/dev/null || true; done
    if [ -n "$POSTGRES" ]; then
        kill -INT "$POSTGRES" 2>/dev/null || true
        wait "$POSTGRES" 2>/dev/null || true
    fi
    for machine in "${MACHINES[@]}"; do ip netns delete "$TAG-$machine" 2>/dev/null || true; done
    if [ -n "$FOLDER" ] && [ -z "${DOORWARD_EXAMPLE_FOLDER:-}" ]; then rm -rf "$FOLDER"; fi
}

main() {
    local gateway
    find_programs
    trap clean_up EXIT
    trap 'exit 130' INT TERM HUP
    open_folder
    lay_cables
    start_database
    keep a control-plane
    wait_for 30 doorward_at a status || die 'the first control plane did not start' "$FOLDER/a.log"
    # The second one gets the keys of the first before it starts.
    doorward_at a replica export --out "$FOLDER/replica.json" >/dev/null
    data_folder b control-plane
    doorward_at b replica import "$FOLDER/replica.json" >/dev/null
    rm "$FOLDER/replica.json"
    keep b control-plane
    wait_for 30 doorward_at b status || die 'the second control plane did not start' "$FOLDER/b.log"
    for gateway in berlin paris; do
        (umask 077 && doorward_at a gateway token add "$gateway" | head -n 1 >"$FOLDER/$gateway.token")
        DOORWARD_GATEWAY_TOKEN=$(cat "$FOLDER/$gateway.token") keep "$gateway" gateway
    done
    wait_for 60 both_connected || die 'the gateways did not come' "$FOLDER/berlin.log"
    cat <<TEXT
Two control planes and two gateways run. In another terminal, as root:

  export DOORWARD_DATA=$FOLDER/a          # or $FOLDER/b: either answers
  $DOORWARD status                        # which gateway is at which control plane
  kill -9 \$(cat $FOLDER/a.pid)            # its gateways go to b; it starts again after a second
  ip netns exec $TAG-laptop bash          # a machine outside
  ip netns exec $TAG-shop bash            # the machine that the gateways guard, 10.0.5.10

Ctrl-C ends and removes everything.
TEXT
    touch "$FOLDER/ready"
    wait
}

both_connected() {
    [ "$(doorward_at b status --json | grep -c '"connected": true')" = 2 ]
}

main
