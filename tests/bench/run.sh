#!/usr/bin/env bash
# Measures Doorward beside wireguard-go and boringtun-cli in one run, as root:
#
#   tests/bench/run.sh [-r ROUNDS] [-t SECONDS] [-T "TEST..."] [-g "GATEWAY..."] [-p]
#
#   -r   rounds (3); the gateways take turns in each: A B C A B C ...
#   -t   seconds a test (5)
#   -T   of: tcp1-up tcp1-down tcp8-up tcp8-down tcp1-both udp-up udp-down ping (all but udp)
#   -g   of: doorward wireguard-go boringtun (all)
#   -p   pinned: each gateway on CPU 0, clients and servers on CPU 1
#
# It prints medians: the gateway's CPU-seconds per GiB and Gbit/s, round-trip times, resident memory; and Doorward's
# share of wireguard-go's CPU time, taken within rounds. The table and all rows stay in target/bench/TIME/. Trust, in
# this order: ratios within a round, CPU-seconds per GiB, Gbit/s (the client and iperf3 share the machine).
#
# What it needs and does not find it installs (apt: iperf3, iputils-ping and the demo's network tools) or puts into
# target/bench/tools (boringtun-cli by cargo; Debian's newest wireguard-go, unpacked and not installed, or the installed
# one elsewhere). WIREGUARD_GO, BORINGTUN and DOORWARD_BIN name other binaries.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$HERE/../.." && pwd)
BUILD=${CARGO_TARGET_DIR:-$REPO/target}
TOOLS=$BUILD/bench/tools
TAG=dwbench$$
for variable in "${!DOORWARD_@}"; do
    if [ "$variable" != DOORWARD_BIN ]; then unset "$variable"; fi
done
ROUNDS=3 SECONDS_EACH=5 PINNED=no
TESTS='tcp1-up tcp1-down tcp8-up tcp8-down tcp1-both ping'
GATEWAYS='doorward wireguard-go boringtun'

die() {
    printf 'bench: %s\n' "$1" >&2
    if [ -n "${2:-}" ] && [ -s "$2" ]; then tail -n 15 "$2" >&2; fi
    exit 1
}

while getopts r:t:T:g:ph option; do
    case $option in
        r) ROUNDS=$OPTARG ;;
        t) SECONDS_EACH=$OPTARG ;;
        T) TESTS=$OPTARG ;;
        g) GATEWAYS=$OPTARG ;;
        p) PINNED=yes ;;
        h) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" && exit 0 ;;
        *) exit 2 ;;
    esac
done
if [ "$EUID" != 0 ]; then die 'network namespaces need root: run it with sudo'; fi

# shellcheck source=tests/bench/tools.sh
. "$HERE/tools.sh"
# shellcheck source=tests/bench/networks.sh
. "$HERE/networks.sh"

# Clock ticks (user and system) that a process has used, all its threads together.
cpu_ticks() {
    local stat
    stat=$(<"/proc/$1/stat") || return 1
    read -ra stat <<<"${stat##*) }"
    echo $((stat[11] + stat[12]))
}

rss_mib() { awk '/^VmRSS/ { printf "%.0f", $2 / 1024 }' "/proc/$1/status"; }

iperf_arguments() {
    case $1 in
        tcp1-up) ;;
        tcp1-down) echo -R ;;
        tcp1-both) echo --bidir ;;
        tcp8-up) echo -P 8 ;;
        tcp8-down) echo -P 8 -R ;;
        udp-up) echo -u -b 0 -l 1340 ;;
        udp-down) echo -u -b 0 -l 1340 -R ;;
        *) die "there is no test $1" ;;
    esac
}

# Prints "round gateway test value..." for one test: Gbit/s, CPU-seconds per GiB, MiB; or p50 and p99 in microseconds.
measure() {
    local round=$1 index=$2 name=$3 test=$4 pid=${GATEWAY_PID[$2]} raw=$OUT/$1-$3-$4 arguments before after
    if [ "$test" = ping ]; then
        on client "$index" ping -n -i 0.01 -c 300 -s 56 $TARGET >"$raw.txt"
        sed -n 's/.* time=\([0-9.]*\) ms/\1/p' "$raw.txt" | sort -n | awk -v row="$round $name ping" \
            '{ t[NR] = $1 * 1000 } END { printf "%s %.0f %.0f\n", row, t[int(NR / 2) + 1], t[int(NR * .99)] }'
        return
    fi
    read -ra arguments <<<"$(iperf_arguments "$test")"
    before=$(cpu_ticks "$pid")
    on client "$index" timeout $((SECONDS_EACH + 20)) \
        iperf3 -J -c $TARGET -t "$SECONDS_EACH" "${arguments[@]}" >"$raw.json" ||
        die "iperf3 failed with $name" "$raw.json"
    after=$(cpu_ticks "$pid") || die "the gateway $name is gone" "$FOLDER/$index/gateway.log"
    # sum_received counts one direction; with --bidir a second block counts the other. For UDP there is "sum" alone.
    awk -v row="$round $name $test" -v ticks=$((after - before)) -v hertz="$(getconf CLK_TCK)" \
        -v rss="$(rss_mib "$pid")" '
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
            printf "%s %.3f %.3f %d\n", row, bits / 1e9, all ? ticks / hertz / (all / 2^30) : 0, rss
        }' "$raw.json"
}

main() {
    local round test index name row names
    OUT=$BUILD/bench/$(date -u +%Y%m%dT%H%M%SZ)
    find_tools
    mkdir -p "$OUT"
    trap clean_up EXIT
    trap 'exit 130' INT TERM HUP
    open_folder
    read -ra names <<<"$GATEWAYS"
    for index in "${!names[@]}"; do
        printf 'starting %s (%s)\n' "${names[$index]}" "$(version_of "${names[$index]}")"
        start "$index" "${names[$index]}"
    done
    # Other work on the machine yields to the measurement; automatic groups ignore a plain `nice` across sessions.
    echo -10 2>/dev/null >/proc/self/autogroup || true
    for ((round = 1; round <= ROUNDS; round++)); do
        for test in $TESTS; do
            for index in "${!names[@]}"; do
                name=${names[$index]}
                row=$(measure "$round" "$index" "$name" "$test")
                echo "$row" >>"$OUT/rows.txt"
                printf 'round %s\n' "$row"
            done
        done
    done
    {
        printf '\nDoorward beside its peers, %s: %s rounds of %s s, ' "$(date -u +%F)" "$ROUNDS" "$SECONDS_EACH"
        printf 'NAT on, MTU 1420, pinned: %s\n' $PINNED
        printf '%s CPUs: %s; Linux %s\n' "$(nproc)" "$(sed -n 's/^model name.*: //p;T;q' /proc/cpuinfo)" "$(uname -r)"
        for name in "${names[@]}"; do printf '  %-14s %s\n' "$name" "$(version_of "$name")"; done
        echo
        awk -v gateways="$GATEWAYS" -v tests="$TESTS" -f "$HERE/report.awk" "$OUT/rows.txt"
    } | tee "$OUT/table.txt"
    printf '\nThis table, and all rows: %s\n' "$OUT"
}

main
