#!/usr/bin/env bash
# Plays the core's tests, the simulation's and every fuzz corpus with AddressSanitizer and checked arithmetic, which the
# packet path goes without in what is shipped. Needs the nightly toolchain; builds into a folder of its own.
#
#   tests/fuzz/sanitize.sh
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${TMPDIR:-/tmp}/doorward-sanitize}
export CARGO_INCREMENTAL=0
export RUSTFLAGS="-Zsanitizer=address -Coverflow-checks=on -Cdebug-assertions=on -Cdebuginfo=line-tables-only"
cd "$root"
# With a target named, build scripts and macros are left without the sanitizer. What needs few crates comes first.
sanitized() { cargo +nightly test --release --locked --target "$host" "$@"; }
sanitized -p doorward-gateway-core -p doorward-sim --lib --tests
sanitized -p doorward-fuzz-targets --tests
