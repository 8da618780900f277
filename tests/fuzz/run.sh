#!/usr/bin/env bash
# Fuzzes one target, or makes its corpus small; tests/fuzz/build.sh comes first.
#
#   tests/fuzz/run.sh TARGET [SECONDS]        60 seconds where none are given
#   tests/fuzz/run.sh --minimise TARGET
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')
programs=${CARGO_TARGET_DIR:-$here/../../target-fuzz}/$host/release
minimise=no
if [ "${1:-}" = --minimise ]; then minimise=yes; shift; fi
target=${1:-}
if [ -z "$target" ] || [ ! -x "$programs/$target" ]; then sed -n '2,5p' "$0" >&2; exit 2; fi
# Longer inputs cost speed and find nothing more: packets are short, and a schedule has 200 steps.
options=(-max_len=2048 -rss_limit_mb=1024 -timeout=10 "-artifact_prefix=$here/artifacts/")
mkdir -p "$here/artifacts" "$here/corpus/$target"
if [ "$minimise" = yes ]; then
    small=$(mktemp -d)
    trap 'rm -rf "$small"' EXIT
    "$programs/$target" -merge=1 "${options[@]}" "$small" "$here/corpus/$target"
    find "$here/corpus/$target" -type f -delete
    cp "$small"/* "$here/corpus/$target/"
else
    nice -n 19 "$programs/$target" -max_total_time="${2:-60}" -print_final_stats=1 "${options[@]}" "$here/corpus/$target"
fi
