# shellcheck shell=bash
# How the demo speaks: steps, times, verdicts, and the table at the end. Never wider than 80 columns; colours only on a
# terminal that wants them (https://no-color.org).

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    BOLD=$'\e[1m' DIM=$'\e[2m' GREEN=$'\e[32m' RED=$'\e[31m' CYAN=$'\e[36m' PLAIN=$'\e[0m'
else
    BOLD='' DIM='' GREEN='' RED='' CYAN='' PLAIN=''
fi

STEPS=8
STEP=0
BROKEN=0
ROWS=()

# Microseconds since 1970.
now_us() { echo "${EPOCHREALTIME/[.,]/}"; }

# 1234567 microseconds in words: "12 ms" below a second, "1.2 s" above; a negative span keeps its sign.
in_words() {
    local us=$1 sign=''
    if ((us < 0)); then sign='-' us=$((-us)); fi
    if ((us < 1000000)); then
        echo "$sign$(((us + 500) / 1000)) ms"
    else
        echo "$sign$((us / 1000000)).$(((us % 1000000) / 100000)) s"
    fi
}

# Narration, wrapped and indented.
say() { fold -s -w 72 <<<"$*" | sed -e 's/ *$//' -e 's/^/      /'; }

# Opens a step: its title, and what the table calls it.
step() {
    STEP=$((STEP + 1))
    SHORT=$2
    printf '\n%s[%d/%d]%s %s%s%s\n' "$CYAN" "$STEP" "$STEPS" "$PLAIN" "$BOLD" "$1" "$PLAIN"
}

# Shows what is typed, and on whose machine; a long line is broken as a shell would take it, options with their values.
typed() {
    local who=$1 word line='' indent='      ' option='' units=()
    shift
    for word in "$@"; do
        if [ -n "$option" ]; then
            units+=("$option $word") option=''
        elif [[ $word == -* ]]; then
            option=$word
        else
            units+=("$word")
        fi
    done
    if [ -n "$option" ]; then units+=("$option"); fi
    for word in "${units[@]}"; do
        if ((${#indent} + ${#who} + ${#line} + ${#word} + 5 > 80)); then
            shown "$indent" "$who" "$line \\"
            indent='         ' who='' line=''
        fi
        line+=" $word"
    done
    shown "$indent" "$who" "$line"
}
shown() { printf '%s%s%s%s%s\n' "$1" "$DIM" "${2:+$2 $}" "$PLAIN" "$3"; }

# Shows what a program printed, wrapped to the width of the page.
printed() { sed '/^ *$/d' | fold -s -w 70 | sed -e 's/ *$//' -e "s/^/      $DIM|$PLAIN /"; }

# A line that changes in place on a terminal and is left out elsewhere.
ticking() {
    if [ -t 1 ]; then printf '\r      %s%-72s%s' "$DIM" "$1" "$PLAIN"; fi
}
ticked() {
    if [ -t 1 ]; then printf '\r%-80s\r' ''; fi
}

# Closes a step: 0 (it held) or another number, what was expected, what was seen, how long it took (microseconds).
verdict() {
    local held=$1 expected=$2 seen=$3 time mark colour
    time=$(in_words "$4")
    if [ "$held" = 0 ]; then
        mark=held colour=$GREEN
    else
        mark=BROKEN colour=$RED BROKEN=$((BROKEN + 1))
    fi
    printf '      %s%s%s  %s, %s\n' "$colour$BOLD" "$mark" "$PLAIN" "$seen" "$time"
    ROWS+=("$STEP|$SHORT|$expected|$seen|$time|$mark")
}

# The table of all steps.
summary() {
    local row number title expected seen time mark colour rule
    rule=$(printf '%80s' '' | tr ' ' -)
    printf '\n%s%-2s %-24s %-17s %-17s %8s  %s%s\n%s\n' "$BOLD" '#' step expected seen time '' "$PLAIN" "$rule"
    for row in "${ROWS[@]}"; do
        IFS='|' read -r number title expected seen time mark <<<"$row"
        colour=$GREEN
        if [ "$mark" != held ]; then colour=$RED; fi
        printf '%-2s %-24.24s %-17.17s %-17.17s %8s  %s%s%s\n' \
            "$number" "$title" "$expected" "$seen" "$time" "$colour" "$mark" "$PLAIN"
    done
    printf '%s\n' "$rule"
    if ((BROKEN == 0 && ${#ROWS[@]} == STEPS)); then
        printf '%sEvery step held.%s\n' "$GREEN$BOLD" "$PLAIN"
    else
        printf '%s%d of %d steps did not hold.%s\n' "$RED$BOLD" "$((STEPS - ${#ROWS[@]} + BROKEN))" "$STEPS" "$PLAIN"
    fi
}

# Waits until a command succeeds: wait_for SECONDS COMMAND…
wait_for() {
    local end=$(($(now_us) + $1 * 1000000))
    shift
    until "$@"; do
        if (($(now_us) > end)); then return 1; fi
        sleep 0.05
    done
}

# One value of the JSON on stdin, by its name: the first that has it.
json_value() { tr -d '\n' | grep -o "\"$1\": *\"\{0,1\}[^\",}]*" | head -n 1 | sed 's/^"[^"]*": *"\{0,1\}//'; }
