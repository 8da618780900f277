#!/usr/bin/env bash
# Measures what numbers cost Doorward, as root: many devices, many rules, many handshakes, on one core:
#
#   tests/bench/scale.sh [-t SECONDS] [-s "REGISTERED:LIVE:RULES..."] [-H DEVICES:EACH:RATE] [-r ROUNDS] [-a] [-k] [-o FOLDER]
#
#   -t   seconds of each flood (2)
#   -s   how many devices are registered, how many of them send and receive, rules of each person
#        (1:1:1 100:100:1 10000:100:1 1:1:16 1:1:1000); live devices have packets in runs of 4
#   -H   handshakes: devices, handshakes of each, initiations offered a second (1000:10:6000)
#   -r   rounds (1); each starts all gateways anew
#   -a, -k   as in run.sh
#   -o   where the rows go (target/bench/TIME); run.sh --publish makes pages of them
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ARGUMENTS=("$@")
# shellcheck disable=SC2034 # what is sourced reads them
SECONDS_EACH=2 ROUNDS=1 PINNED=yes OFFLOADS=yes
SIZES='1:1:1 100:100:1 10000:100:1 1:1:16 1:1:1000'
SHAKES=1000:10:6000
# Packets of one device in a row: what a machine with many busy people sees.
IN_A_ROW=4

# shellcheck disable=SC2034 # what is sourced reads them
while getopts t:s:H:r:ako:h option; do
    case $option in
        t) SECONDS_EACH=$OPTARG ;;
        s) SIZES=$OPTARG ;;
        H) SHAKES=$OPTARG ;;
        r) ROUNDS=$OPTARG ;;
        a) PINNED=no ;;
        k) OFFLOADS=no ;;
        o) OUT=$OPTARG ;;
        h) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" && exit 0 ;;
        *) exit 2 ;;
    esac
done

# shellcheck source=tests/bench/prepare.sh
. "$HERE/prepare.sh"

NEXT=0
# begin REGISTERED LIVE RULES: a Doorward that knows them all; sets INDEX.
begin() {
    local dir
    INDEX=$NEXT NEXT=$((NEXT + 1)) dir=$FOLDER/$INDEX
    mkdir -m 0711 "$dir"
    mkdir "$dir/live"
    lay_cables "$INDEX"
    start_doorward "$INDEX"
    "${ON_OTHERS[@]}" "$BLAST" register --socket "$dir/data/admin.sock" --devices "$1" --live "$2" --rules "$3" \
        --target "$TARGET" --out "$dir/live" >"$dir/register.log" 2>&1 || die 'blast register failed' "$dir/register.log"
    wait_for 60 status_has "$INDEX" "\"devices_known\":$1[,}]" || die 'the gateway was not told of all' "$dir/gateway.log"
}

row() {
    echo "$*" >>"$OUT/scale.txt"
    printf '%s\n' "$*"
}

# Rows "cost round registered live rules up|down microseconds kpps MiB-idle MiB-loaded".
cost() {
    local round=$1 registered=$2 live=$3 rules=$4 idle pid
    begin "$registered" "$live" "$rules"
    pid=${GATEWAY_PID[$INDEX]} idle=$(rss_mib "${GATEWAY_PID[$INDEX]}")
    saturate_up "$INDEX" udp-1380 "$SECONDS_EACH" 1500000 $IN_A_ROW "$FOLDER/$INDEX/live"
    row cost "$round" "$registered" "$live" "$rules" up "$US_PACKET" "$KPPS" "$idle" "$(rss_mib "$pid")"
    saturate_down "$INDEX" udp-1380 "$SECONDS_EACH" 0 $IN_A_ROW "$live" "$FOLDER/$INDEX/live"
    row cost "$round" "$registered" "$live" "$rules" down "$US_PACKET" "$KPPS" "$idle" "$(rss_mib "$pid")"
    take_down
}

# arithmetic: what boringtun takes for a handshake on the gateway's core at this moment, in microseconds.
arithmetic() { "${ON_GATEWAY[@]}" "$BLAST" arithmetic | awk '{ print $2 }'; }

# Rows "shake round devices offered answered seconds microseconds cookies opened arithmetic"; the last is the mean of just
# before and just after.
shake() {
    local round=$1 devices=$2 each=$3 rate=$4 dir log before after pid sender bound
    begin "$devices" "$devices" 1
    dir=$FOLDER/$INDEX pid=${GATEWAY_PID[$INDEX]} log=$FOLDER/$INDEX/shake.log
    mkfifo "$dir/go" && : >"$log"
    (become client "$INDEX" "$BLAST" shake "$dir/live" --from "$BLAST_FROM" --rate "$rate" --each "$each" \
        <"$dir/go" >"$log" 2>&1) &
    sender=$!
    exec 7>"$dir/go"
    wait_for_word "$log"
    bound=$(arithmetic)
    before=$(cpu_seconds "$pid")
    give_word
    wait "$sender" || die 'blast shake failed' "$log"
    after=$(cpu_seconds "$pid") || die 'the gateway is gone' "$dir/gateway.log"
    if ! awk -v opened="$(field opened "$log")" -v devices="$(field devices "$log")" 'BEGIN { exit opened < devices / 2 }'; then
        die 'too few responses are genuine' "$log"
    fi
    row shake "$round" "$(field devices "$log")" "$(field sent "$log")" "$(field responses "$log")" "$(field seconds "$log")" \
        "$(awk -v cpu="$after $before" -v n="$(field responses "$log")" \
            'BEGIN { split(cpu, c, " "); printf "%.1f", (c[1] - c[2]) * 1e6 / n }')" \
        "$(field cookies "$log")" "$(field opened "$log")" \
        "$(awk -v a="$bound" -v b="$(arithmetic)" 'BEGIN { printf "%.1f", (a + b) / 2 }')"
    take_down
}

main() {
    local round size parts
    find_tools
    mkdir -p "$OUT"
    trap clean_up EXIT
    trap 'exit 130' INT TERM HUP
    open_folder
    if [ ! -e "$OUT/about.txt" ]; then
        { describe tests/bench/scale.sh "${ARGUMENTS[@]}" && echo "version doorward $(version_of doorward)"; } >"$OUT/about.txt"
    fi
    yield_no_more
    for ((round = 1; round <= ROUNDS; round++)); do
        for size in $SIZES; do
            IFS=: read -ra parts <<<"$size"
            cost "$round" "${parts[@]}"
        done
        IFS=: read -ra parts <<<"$SHAKES"
        shake "$round" "${parts[@]}"
    done
    printf 'rows: %s\n' "$OUT/scale.txt"
}

main
