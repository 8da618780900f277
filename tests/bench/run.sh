#!/usr/bin/env bash
# Measures Doorward beside other WireGuard gateways in one run, as root:
#
#   tests/bench/run.sh [-r ROUNDS] [-t SECONDS] [-T "TEST..."] [-g "GATEWAY..."] [-R RATE] [-a] [-k] [--publish]
#
#   -r   rounds (3); the gateways take turns in each: A B C A B C ...
#   -t   seconds a test (5); floods send for two fifths of that
#   -T   of: tcp1-up tcp1-down tcp8-up tcp8-down tcp1-both udp-up udp-down         iperf3 through wireguard-go
#            up-tcp-1368 up-udp-1380 up-udp-64 down-udp-1380 down-udp-64           blast floods a saturated gateway
#            ping ping-loaded            64-byte pings: idle; beside half of what down-udp-1380 carried
#        (all but udp-up and udp-down)
#   -g   of: doorward wireguard-go wireguard-go-old boringtun gotatun (all)
#   -R   packets a second that floods offer (flat out, 1500000 of the large ones up)
#   -a   any CPU: nothing is pinned; without it each gateway has CPU 0, everything else the other CPUs
#   -k   no offloads (TSO, GSO, GRO, USO) on the link between client and gateway, as on a plain network card
#   --publish   run scale.sh too; write docs/benchmark.md, docs/benchmark.svg and the tables in README.md
#
# It prints medians: the gateway's CPU-seconds per GiB of payload, Gbit/s, packets a second, round-trip times, resident
# memory; and Doorward's share of wireguard-go's CPU time, taken within rounds. All rows stay in target/bench/TIME/.
# Trust, in this order: ratios within a round, CPU-seconds per GiB, kpps and Gbit/s (client and server share the machine).
#
# What it needs and does not find it installs (apt: iperf3, iputils-ping, ethtool, python3 and the demo's network tools)
# or puts into target/bench/tools (boringtun-cli and gotatun-cli by cargo; Debian's newest wireguard-go, unpacked and not
# installed). WIREGUARD_GO, WIREGUARD_GO_OLD, BORINGTUN, GOTATUN, DOORWARD_BIN and BLAST name other binaries.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ARGUMENTS=("$@")
# shellcheck disable=SC2034 # what is sourced reads them
ROUNDS=3 SECONDS_EACH=5 PINNED=yes OFFLOADS=yes RATE='' PUBLISH=no
IPERF_TESTS='tcp1-up tcp1-down tcp8-up tcp8-down tcp1-both'
FLOOD_TESTS='up-tcp-1368 up-udp-1380 up-udp-64 down-udp-1380 down-udp-64'
TESTS="$IPERF_TESTS $FLOOD_TESTS ping ping-loaded"
GATEWAYS='doorward wireguard-go wireguard-go-old boringtun gotatun'

# shellcheck disable=SC2034 # what is sourced reads them
while getopts r:t:T:g:R:akh-: option; do
    case $option in
        r) ROUNDS=$OPTARG ;;
        t) SECONDS_EACH=$OPTARG ;;
        T) TESTS=$OPTARG ;;
        g) GATEWAYS=$OPTARG ;;
        R) RATE=$OPTARG ;;
        a) PINNED=no ;;
        k) OFFLOADS=no ;;
        h) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" && exit 0 ;;
        -) [ "$OPTARG" = publish ] && PUBLISH=yes || exit 2 ;;
        *) exit 2 ;;
    esac
done

# shellcheck source=tests/bench/prepare.sh
. "$HERE/prepare.sh"

iperf_arguments() {
    case $1 in
        tcp1-up) ;;
        tcp1-down) echo -R ;;
        tcp1-both) echo --bidir ;;
        tcp8-up) echo -P 8 ;;
        tcp8-down) echo -P 8 -R ;;
        udp-up) echo -u -b 0 -l 1340 ;;
        udp-down) echo -u -b 0 -l 1340 -R ;;
    esac
}

# iperf INDEX TEST RAW-FILE: "Gbit/s CPU-seconds-per-GiB MiB".
iperf() {
    local index=$1 test=$2 raw=$3 pid=${GATEWAY_PID[$1]} arguments before after
    read -ra arguments <<<"$(iperf_arguments "$test")"
    before=$(cpu_seconds "$pid")
    on client "$index" timeout $((SECONDS_EACH + 20)) \
        iperf3 -J -c "$TARGET" -t "$SECONDS_EACH" "${arguments[@]}" >"$raw" || die 'iperf3 failed' "$raw"
    after=$(cpu_seconds "$pid") || die 'the gateway is gone' "$FOLDER/$index/gateway.log"
    # sum_received counts one direction; with --bidir a second block counts the other. For UDP there is "sum" alone.
    awk -v before="$before" -v after="$after" -v rss="$(rss_mib "$pid")" '
        /"end":/ { end = 1 }
        /"streams":/ { block = 0 }
        end && /"sum(_received)?(_bidir_reverse)?":/ {
            block = 1; split($1, key, "\""); name = key[2]; received = received || name ~ /received/
        }
        block && /"bytes":/ { sub(",", "", $2); bytes[name] = $2 }
        block && /"bits_per_second":/ { sub(",", "", $2); rate[name] = $2 }
        /}/ { block = 0 }
        END {
            for (name in bytes) if (!received || name ~ /received/) { all += bytes[name]; bits += rate[name] }
            printf "%.3f %.3f %d\n", bits / 1e9, all ? (after - before) / (all / 2^30) : 0, rss
        }' "$raw"
}

# flood_test INDEX TEST: "kpps CPU-seconds-per-GiB MiB microseconds-a-packet".
flood_test() {
    local index=$1 test=$2 rate=${RATE:-0} seconds conf=$FOLDER/$1/blast.conf
    seconds=$(awk -v all="$SECONDS_EACH" 'BEGIN { print all * 2 / 5 }')
    case $test in
        # More than any gateway takes, and less than empties the bank of sealed datagrams at once.
        up-*1380 | up-*1368) saturate_up "$index" "${test#up-}" "$seconds" "${RATE:-1500000}" 0 "$conf" ;;
        up-*) saturate_up "$index" "${test#up-}" "$seconds" "$rate" 0 "$conf" ;;
        down-*) saturate_down "$index" "${test#down-}" "$seconds" "$rate" 0 1 "$conf" ;;
    esac
    echo "$KPPS $CPU_GIB $(rss_mib "${GATEWAY_PID[$index]}") $US_PACKET" >"$FOLDER/$index/row"
}

# ping_loaded INDEX NAME RAW-FILE: round trips of one device while another one downloads.
ping_loaded() {
    local index=$1 name=$2 full half
    full=$(awk -v name="$name" '$2 == name && $3 == "down-udp-1380" { kpps = $4 } END { print kpps }' "$OUT/rows.txt")
    if [ -z "$full" ]; then flood_test "$index" down-udp-1380 && full=$KPPS; fi
    half=$(awk -v full="$full" 'BEGIN { printf "%d", full * 500 }')
    # 300 pings take three seconds and a little: the download ends after them.
    open_flows "$index" 1380 5 "$half" 0 1 "$FOLDER/$index/blast.conf"
    give_word
    ping_times "$index" "$3" >"$FOLDER/$index/row"
    flood_ends "$index"
    close_flows "$index"
}

# Appends "round gateway test value..." to the rows. In no subshell: floods have jobs to wait for.
measure() {
    local round=$1 index=$2 name=$3 test=$4 raw=$OUT/$1-$3-$4 row
    case $test in
        ping) ping_times "$index" "$raw.txt" >"$FOLDER/$index/row" ;;
        ping-loaded) ping_loaded "$index" "$name" "$raw.txt" ;;
        up-* | down-*) flood_test "$index" "$test" ;;
        *) iperf "$index" "$test" "$raw.json" >"$FOLDER/$index/row" ;;
    esac
    row="$round $name $test $(<"$FOLDER/$index/row")"
    echo "$row" >>"$OUT/rows.txt"
    printf 'round %s\n' "$row"
}

main() {
    local round test index names
    for test in $TESTS; do
        case " $IPERF_TESTS udp-up udp-down $FLOOD_TESTS ping ping-loaded " in
            *" $test "*) ;;
            *) die "there is no test $test" ;;
        esac
    done
    find_tools
    mkdir -p "$OUT"
    touch "$OUT/rows.txt"
    trap clean_up EXIT
    trap 'exit 130' INT TERM HUP
    open_folder
    describe tests/bench/run.sh "${ARGUMENTS[@]}" >"$OUT/about.txt"
    read -ra names <<<"$GATEWAYS"
    for index in "${!names[@]}"; do
        printf 'starting %s (%s)\n' "${names[$index]}" "$(version_of "${names[$index]}")"
        printf 'version %s %s\n' "${names[$index]}" "$(version_of "${names[$index]}")" >>"$OUT/about.txt"
        start "$index" "${names[$index]}"
    done
    yield_no_more
    for ((round = 1; round <= ROUNDS; round++)); do
        for test in $TESTS; do
            for index in "${!names[@]}"; do
                measure "$round" "$index" "${names[$index]}" "$test"
            done
        done
    done
    clean_up
    if [ $PUBLISH = yes ]; then
        DOORWARD_BIN=$DOORWARD_BIN BLAST=$BLAST "$HERE/scale.sh" -o "$OUT"
        "$HERE/report.py" "$OUT" --publish "$REPO"
    fi
    "$HERE/report.py" "$OUT" | tee "$OUT/table.txt"
    printf '\nThis table, and all rows: %s\n' "$OUT"
}

main
