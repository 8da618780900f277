# shellcheck shell=bash
# Three namespaces for each gateway, all of them up for the whole run:
#
#   client 10.1.0.2 --veth-- 10.1.0.1 gateway 10.2.0.1 --veth-- 10.2.0.2 server
#          10.1.128.0/17 (blast: an address for each device)             (iperf3, blast's answers)
#
# Every gateway masquerades towards the server; every tunnel has an MTU of 1420. Floods end in counters of nftables.

ROLES=(client gateway server)
TARGET=10.2.0.2
BLAST_NET=10.1.128.0/17
# shellcheck disable=SC2034 # measure.sh reads it
BLAST_FROM=10.1.128.1
FOLDER=
# The process whose CPU time counts, by the gateway's place in the list.
declare -A GATEWAY_PID=()
ON_GATEWAY=() ON_OTHERS=()
if [ "$PINNED" = yes ]; then
    ON_GATEWAY=(taskset -c 0)
    ON_OTHERS=(taskset -c "1-$(($(nproc) - 1))")
fi

die() {
    printf 'bench: %s\n' "$1" >&2
    if [ -n "${2:-}" ] && [ -s "$2" ]; then tail -n 15 "$2" >&2; fi
    exit 1
}

space() { echo "$TAG-$2-$1"; }
on() {
    local role=$1 index=$2 prefix=("${ON_OTHERS[@]}")
    if [ "$role" = gateway ]; then prefix=("${ON_GATEWAY[@]}"); fi
    shift 2
    "${RUN[@]}" "${prefix[@]}" ip netns exec "$(space "$role" "$index")" "$@"
}
RUN=()
# The same for a background job, with the program in the place of the shell, so that `$!` is the program: (become ...) &
become() { RUN=(exec) && on "$@"; }

wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        if ((SECONDS > end)); then return 1; fi
        sleep 0.05
    done
}

# The control plane gives up root, and must be able to walk through the folder and start the binary from it.
open_folder() {
    FOLDER=$(mktemp -d /tmp/doorward-bench.XXXXXX)
    chmod 0711 "$FOLDER"
    if [ -n "${DOORWARD_BIN:-}" ]; then install -m 0755 "$DOORWARD_BIN" "$FOLDER/doorward"; fi
}

lay_cables() {
    local index=$1 role client gateway server
    for role in "${ROLES[@]}"; do
        ip netns add "$(space "$role" "$index")"
        ip -n "$(space "$role" "$index")" link set lo up
    done
    client=$(space client "$index") gateway=$(space gateway "$index") server=$(space server "$index")
    ip link add outer netns "$client" type veth peer name outer netns "$gateway"
    ip link add inner netns "$server" type veth peer name inner netns "$gateway"
    ip -n "$client" addr add 10.1.0.2/16 dev outer
    ip -n "$gateway" addr add 10.1.0.1/16 dev outer
    ip -n "$gateway" addr add 10.2.0.1/24 dev inner
    ip -n "$server" addr add $TARGET/24 dev inner
    ip -n "$client" link set outer up
    ip -n "$gateway" link set outer up
    ip -n "$gateway" link set inner up
    ip -n "$server" link set inner up
    ip -n "$client" route add local $BLAST_NET dev lo
    ip -n "$gateway" route add $BLAST_NET via 10.1.0.2
    ip -n "$server" route add default via 10.2.0.1
    if [ "$OFFLOADS" = no ]; then
        for role in client gateway; do
            on "$role" "$index" ethtool -K outer tso off gso off gro off tx-udp-segmentation off
        done
    fi
    lay_sinks "$index"
    (become server "$index" iperf3 -s >/dev/null 2>&1) &
}

# Counters that take the floods away before the server's or the client's network stack does anything with them. The
# client's is empty until `arm_sink`: handshakes, and each flow's first answer, must reach the client.
lay_sinks() {
    on server "$1" nft -f - <<NFT
table ip sink {
    counter up {}
    chain arrivals {
        type filter hook prerouting priority raw
        ip daddr $TARGET udp dport 9 counter name up drop
        ip daddr $TARGET tcp dport 9 counter name up drop
    }
}
NFT
    on client "$1" nft -f - <<'NFT'
table ip sink {
    counter down {}
    chain arrivals { type filter hook prerouting priority raw; }
}
NFT
}

# Payload that begins with 4 is transport data.
arm_sink() {
    on client "$1" nft add rule ip sink arrivals ip daddr $BLAST_NET udp sport 51820 @th,64,8 4 counter name down drop
}
disarm_sink() { on client "$1" nft flush chain ip sink arrivals; }

has_socket() { [ -S "/run/wireguard/$1.sock" ]; }

# A peer's tunnel on the gateway: start_peer INDEX PROGRAM [ARGUMENT...]; the interface's name is its last argument.
start_peer() {
    local index=$1 interface=${TAG}g$1 dir=$FOLDER/$1 client
    shift
    (umask 077 && for key in gateway laptop blast; do wg genkey >"$dir/$key.key"; done)
    (become gateway "$index" env LOG_LEVEL=error WG_LOG_LEVEL=error "$@" "$interface" >"$dir/gateway.log" 2>&1) &
    GATEWAY_PID[$index]=$!
    wait_for 10 has_socket "$interface" || die "$1 did not start" "$dir/gateway.log"
    on gateway "$index" wg set "$interface" private-key "$dir/gateway.key" listen-port 51820 \
        peer "$(wg pubkey <"$dir/laptop.key")" allowed-ips 100.80.0.2/32 \
        peer "$(wg pubkey <"$dir/blast.key")" allowed-ips 100.80.0.3/32
    on gateway "$index" ip addr add 100.80.0.1/16 dev "$interface"
    on gateway "$index" ip link set "$interface" mtu 1420 up
    on gateway "$index" sysctl -qw net.ipv4.ip_forward=1
    on gateway "$index" nft -f - <<'NFT'
table ip nat {
    chain out { type nat hook postrouting priority srcnat; oifname "inner" masquerade; }
}
NFT
    for client in laptop:100.80.0.2 blast:100.80.0.3; do
        printf '[Interface]\nPrivateKey = %s\nAddress = %s/32\n[Peer]\nPublicKey = %s\nAllowedIPs = %s/32\n%s\n' \
            "$(<"$dir/${client%:*}.key")" "${client#*:}" "$(wg pubkey <"$dir/gateway.key")" $TARGET \
            'Endpoint = 10.1.0.1:51820' >"$dir/${client%:*}.conf"
    done
}

admin() { "$FOLDER/doorward" "$@" --data "$FOLDER/$INDEX/data" >>"$FOLDER/$INDEX/admin.log" 2>&1; }
status_has() {
    "$FOLDER/doorward" status --json --data "$FOLDER/$1/data" 2>/dev/null | tr -d ' \n' | grep -q "$2"
}

# Doorward alone: nobody, and nothing, is registered.
start_doorward() {
    local index=$1 dir=$FOLDER/$1 up
    mkdir -m 0755 "$dir/data"
    printf '[gateway]\nendpoint = "10.1.0.1:51820"\ninterface = "%s"\n' "${TAG}g$index" >"$dir/doorward.toml"
    (become gateway "$index" "$FOLDER/doorward" up --config "$dir/doorward.toml" --data "$dir/data" \
        >"$dir/gateway.log" 2>&1) &
    up=$!
    wait_for 30 status_has "$index" '"connected":true' || die 'doorward did not start' "$dir/gateway.log"
    # shellcheck disable=SC2034 # run.sh reads it
    GATEWAY_PID[$index]=$(pgrep -P $up -f 'run gateway') || die 'doorward has no gateway process' "$dir/gateway.log"
}

register_devices() {
    local dir=$FOLDER/$1
    INDEX=$1
    if ! { admin resource add bench --target $TARGET --allow tcp/5201 --allow udp/5201 --allow icmp \
        --allow tcp/9 --allow udp/9 --allow udp/19 &&
        admin person add bench@shop.example --name Bench --kind staff &&
        admin grant add bench@shop.example bench --for 1d &&
        admin device add bench@shop.example laptop --out "$dir/laptop.conf" &&
        admin device add bench@shop.example blast --out "$dir/blast.conf"; }; then
        die 'a doorward command failed' "$dir/admin.log"
    fi
}

answers() { on client "$1" timeout 2 iperf3 -c $TARGET -n 1K >/dev/null 2>&1; }

# Starts a gateway, and a client that reaches the server through it: start INDEX NAME
start() {
    local index=$1 name=$2 interface=${TAG}c$1 dir=$FOLDER/$1
    mkdir -m 0711 "$dir"
    lay_cables "$index"
    case $name in
        doorward) start_doorward "$index" && register_devices "$index" ;;
        wireguard-go) start_peer "$index" "$WIREGUARD_GO" -f ;;
        wireguard-go-old) start_peer "$index" "$WIREGUARD_GO_OLD" -f ;;
        boringtun) start_peer "$index" "$BORINGTUN" -f --disable-drop-privileges -t "$("${ON_GATEWAY[@]}" nproc)" ;;
        gotatun) start_peer "$index" "$GOTATUN" -f --disable-drop-privileges ;;
        *) die "there is no gateway $name" ;;
    esac
    (become client "$index" env LOG_LEVEL=error "$WIREGUARD_GO" -f "$interface" >"$dir/client.log" 2>&1) &
    wait_for 10 has_socket "$interface" || die 'the client did not start' "$dir/client.log"
    on client "$index" wg setconf "$interface" <(grep -vE '^(Address|MTU|DNS)' "$dir/laptop.conf")
    on client "$index" ip addr add "$(grep -oE '[0-9.]+/32' "$dir/laptop.conf" | head -n 1)" dev "$interface"
    on client "$index" ip link set "$interface" mtu 1420 up
    on client "$index" ip route add $TARGET dev "$interface"
    wait_for 15 answers "$index" || die "$name lets nothing through" "$dir/gateway.log"
}

running() {
    local path
    for path in /run/netns/"$TAG"-*; do
        if [ -e "$path" ]; then ip netns pids "${path##*/}"; fi
    done
}
nothing_runs() { [ -z "$(running)" ]; }

# Ends all processes, namespaces and sockets of this run.
take_down() {
    local pids path
    mapfile -t pids < <(jobs -p)
    if ((${#pids[@]} > 0)); then kill "${pids[@]}" 2>/dev/null || true; fi
    mapfile -t pids < <(running)
    if ((${#pids[@]} > 0)); then kill "${pids[@]}" 2>/dev/null || true; fi
    if ! wait_for 10 nothing_runs; then
        mapfile -t pids < <(running)
        kill -KILL "${pids[@]}" 2>/dev/null || true
        wait_for 5 nothing_runs || true
    fi
    for path in /run/netns/"$TAG"-*; do
        if [ -e "$path" ]; then ip netns del "${path##*/}"; fi
    done
    rm -f /run/wireguard/"$TAG"*.sock
}

clean_up() {
    trap '' INT TERM HUP
    take_down
    if [ -n "$FOLDER" ]; then rm -rf "$FOLDER"; fi
}
