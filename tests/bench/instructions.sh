#!/usr/bin/env bash
# Counts the instructions that a packet costs in the core, with valgrind, and holds them against tests/bench/instructions.txt:
#
#   tests/bench/instructions.sh [--check | --accept]
#
#   --check    (what it does without an option) exits 1 if anything costs more than 5 % above what is written there
#   --accept   writes the counts down: run it when a change is worth its price, and say in the commit why
#
# Counts do not vary with the load of the machine, so a small loss shows that no stopwatch would see. What picks its code
# by the processor is left out (ring's ciphers, the C library's memcpy and the like), so that another model of processor
# counts the same. The compiler matters: after a change of it, accept.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
accepted=tests/bench/instructions.txt
mode=${1:---check}
case "$mode" in --check | --accept) ;; *) sed -n '2,11p' "$0" >&2; exit 2 ;; esac
if ! command -v valgrind >/dev/null; then
    echo "There is no valgrind here: apt-get install valgrind." >&2
    exit 1
fi
rounds=2000
program=$(cargo build --release --workspace --bench instructions --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*\/instructions-[^"]*\)".*/\1/p' | tail -n 1)
[ -x "$program" ] || { echo "The benchmark was not built: cargo build --release --workspace --bench instructions says why." >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Adds up what each function spent itself. After `calls=` comes a line with what was spent in the function called.
# shellcheck disable=SC2016 # the dollars are awk's
own_cost='
    /^c?fn=/ { match($0, /\([0-9]+\)/)
               id = substr($0, RSTART, RLENGTH); rest = substr($0, RSTART + RLENGTH + 1)
               if (rest != "") name[id] = rest
               if (/^fn=/) counts = name[id] !~ /ring|chacha|poly1305|^_*(mem|bcmp)|^0x|avx|sse/
               next }
    /^calls=/ { called = 1; next }
    /^[0-9+*-]/ { if (!called && counts) total += $2; called = 0; next }
    END { printf "%s %d\n", bench, total / rounds }'

for bench in $("$program"); do
    valgrind --tool=callgrind --callgrind-out-file="$work/out" --toggle-collect='*instructions::measured*' --dump-line=no \
        --compress-strings=yes "$program" "$bench" "$rounds" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
    awk -v bench="$bench" -v rounds="$rounds" "$own_cost" "$work/out"
done >"$work/counts"

if [ "$mode" = --accept ]; then
    { echo "# Instructions a packet; written by tests/bench/instructions.sh --accept"; cat "$work/counts"; } >"$accepted"
    cat "$accepted"
    exit 0
fi
awk '
    /^#/ { next }
    NR == FNR { accepted[$1] = $2; next }
    { change = $1 in accepted ? 100 * ($2 / accepted[$1] - 1) : 0
      over = !($1 in accepted) || $2 == 0 || change > 5
      printf "%-17s %8d instructions a packet, %+.1f %%%s\n", $1, $2, change, over ? "  TOO MUCH" : ""
      bad += over; seen++ }
    END { if (!seen) { print "nothing was counted"; exit 1 }
          if (bad) { print "If the change is worth it: tests/bench/instructions.sh --accept, and say why in the commit."; exit 1 } }
' "$accepted" "$work/counts"
