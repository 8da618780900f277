# shellcheck shell=bash
# What is read of a gateway while blast loads it. Each measurement sets these:
# shellcheck disable=SC2034 # run.sh and scale.sh read them
PACKETS=0 CPU=0 KPPS=0 CPU_GIB=0 US_PACKET=0

# Seconds of CPU, user and system, that a process has used, all its threads together.
cpu_seconds() {
    local stat
    stat=$(<"/proc/$1/stat") || return 1
    read -ra stat <<<"${stat##*) }"
    awk -v ticks=$((stat[11] + stat[12])) -v hertz="$(getconf CLK_TCK)" 'BEGIN { printf "%.2f", ticks / hertz }'
}

rss_mib() { awk '/^VmRSS/ { printf "%.0f", $2 / 1024 }' "/proc/$1/status"; }

# Prints "packets bytes" of a sink: sink INDEX up|down
sink() {
    local role=client
    if [ "$2" = up ]; then role=server; fi
    on "$role" "$1" nft list counter ip sink "$2" | sed -n 's/.*packets \([0-9]*\) bytes \([0-9]*\).*/\1 \2/p'
}

# The same, once nothing arrives any more: gateways have queues.
settled_sink() {
    local before='' after tries
    for ((tries = 0; tries < 100; tries++)); do
        after=$(sink "$1" "$2")
        if [ "$after" = "$before" ]; then break; fi
        before=$after
        sleep 0.05
    done
    echo "$after"
}

payload_of() { echo "${1##*-}"; }

# What a counted packet has besides datagrams (or a segment's payload), and the size of those. A packet stands for as
# many as were coalesced, with the headers of one: the bytes tell how many they were.
evaluate() {
    local headers=$1 unit=$2 payload=$3 before=$4 after=$5 cpu_before=$6 cpu_after=$7 seconds=$8
    # shellcheck disable=SC2034 # run.sh and scale.sh read them
    read -r PACKETS CPU KPPS CPU_GIB US_PACKET < <(awk -v before="$before" -v after="$after" -v headers="$headers" \
        -v unit="$unit" -v payload="$payload" -v cpu_before="$cpu_before" -v cpu_after="$cpu_after" \
        -v seconds="$seconds" 'BEGIN {
            split(before, b, " "); split(after, a, " ")
            n = (a[2] - b[2] - headers * (a[1] - b[1])) / unit
            cpu = cpu_after - cpu_before
            # What queued up is worked off after the last packet was sent; one pinned core cannot be busy for longer.
            if (cpu > seconds) seconds = cpu
            printf "%d %.2f %.1f %.3f %.3f\n", n, cpu, n / seconds / 1000, n ? cpu / (n * payload / 2^30) : 0, n ? cpu * 1e6 / n : 0
        }')
    if ((PACKETS == 0)); then die 'nothing arrived at the sink'; fi
}

field() { sed -n "s/.*\\b$1 \\([0-9.]*\\).*/\\1/p" "$2"; }

# wait_for_word LOG: until the program that writes there says that it is ready for a word on file descriptor 7.
wait_for_word() {
    wait_for 130 grep -q . "$1" || die 'blast is not ready' "$1"
    if ! grep -q ^ready "$1"; then die 'blast failed' "$1"; fi
}
give_word() { echo go >&7 && exec 7>&-; }

# saturate_up INDEX KIND SECONDS RATE RUN CONFIG...: devices send through the gateway.
saturate_up() {
    local index=$1 kind=$2 seconds=$3 rate=$4 run=$5 pid=${GATEWAY_PID[$1]} dir=$FOLDER/$1 log=$FOLDER/$1/up.log
    local before after cpu_before cpu_after headers=28 bank=1024 sender
    shift 5
    case $kind in
        tcp-*) headers=52 ;;
        udp-64) bank=384 ;;
    esac
    rm -f "$dir/go" && mkfifo "$dir/go" && : >"$log"
    (become client "$index" "$BLAST" up "$@" --from "$BLAST_FROM" --target "$TARGET" --kind "$kind" \
        --seconds "$seconds" --rate "$rate" --run "$run" --bank-mib $bank <"$dir/go" >"$log" 2>&1) &
    sender=$!
    exec 7>"$dir/go"
    wait_for_word "$log"
    before=$(sink "$index" up) cpu_before=$(cpu_seconds "$pid")
    give_word
    wait "$sender" || die 'blast failed' "$log"
    after=$(settled_sink "$index" up)
    cpu_after=$(cpu_seconds "$pid") || die 'the gateway is gone' "$FOLDER/$index/gateway.log"
    evaluate $headers "$(payload_of "$kind")" "$(payload_of "$kind")" "$before" "$after" "$cpu_before" "$cpu_after" \
        "$(field seconds "$log")"
}

# open_flows INDEX SIZE SECONDS RATE RUN FLOWS CONFIG...: a server that waits for the word, and devices that opened a flow
# to it. The word goes to file descriptor 7.
open_flows() {
    local index=$1 size=$2 seconds=$3 rate=$4 run=$5 flows=$6 dir=$FOLDER/$1
    shift 6
    rm -f "$dir/go" && mkfifo "$dir/go"
    # What an earlier flood said must not be taken for this one's word.
    : >"$dir/answer.log" && : >"$dir/hold.log"
    (become server "$index" "$BLAST" answer --port 19 --flows "$flows" --size "$size" --seconds "$seconds" \
        --rate "$rate" --run "$run" <"$dir/go" >"$dir/answer.log" 2>&1) &
    ANSWER_PID=$!
    exec 7>"$dir/go"
    (become client "$index" "$BLAST" hold "$@" --from "$BLAST_FROM" --target "$TARGET" --port 19 >"$dir/hold.log" 2>&1 7>&-) &
    HOLD_PID=$!
    wait_for 120 grep -q . "$dir/hold.log" || die 'no flows' "$dir/hold.log"
    if ! grep -q ^open "$dir/hold.log"; then die 'no flows' "$dir/hold.log"; fi
    wait_for 5 grep -q ^flows "$dir/answer.log" || die 'not all flows' "$dir/answer.log"
    arm_sink "$index"
}
flood_ends() { wait "$ANSWER_PID" || die 'the server failed' "$FOLDER/$1/answer.log"; }
close_flows() {
    kill "$HOLD_PID"
    wait "$HOLD_PID" || true
    disarm_sink "$1"
}

# saturate_down INDEX KIND SECONDS RATE RUN FLOWS CONFIG...: the server sends through the gateway to devices.
saturate_down() {
    local index=$1 kind=$2 seconds=$3 rate=$4 run=$5 flows=$6 pid=${GATEWAY_PID[$1]} dir=$FOLDER/$1
    local before after cpu_before cpu_after size
    size=$(payload_of "$kind")
    shift 6
    open_flows "$index" "$size" "$seconds" "$rate" "$run" "$flows" "$@"
    before=$(sink "$index" down) cpu_before=$(cpu_seconds "$pid")
    give_word
    flood_ends "$index"
    after=$(settled_sink "$index" down)
    cpu_after=$(cpu_seconds "$pid") || die 'the gateway is gone' "$dir/gateway.log"
    close_flows "$index"
    evaluate 28 "$(field length "$dir/hold.log")" "$size" "$before" "$after" "$cpu_before" "$cpu_after" \
        "$(field seconds "$dir/answer.log")"
}

# Round trips, in microseconds: "p50 p99 lost-per-cent".
ping_times() {
    on client "$1" ping -n -i 0.01 -c 300 -W 1 -s 56 "$TARGET" >"$2" || true
    sed -n 's/.* time=\([0-9.]*\) ms/\1/p' "$2" | sort -n | awk '
        { t[NR] = $1 * 1000 }
        END { if (!NR) exit 1; printf "%.0f %.0f %.1f\n", t[int((NR + 1) / 2)], t[int(NR * .99 + .99)], 100 - NR / 3 }'
}
