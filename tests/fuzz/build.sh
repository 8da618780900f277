#!/usr/bin/env bash
# Builds the fuzz targets with coverage counters on the stable toolchain, into target-fuzz/ (or CARGO_TARGET_DIR):
#
#   tests/fuzz/build.sh && tests/fuzz/run.sh names 60
#
# These are the flags of `cargo fuzz build --sanitizer none`, which does the same.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target-fuzz}
export CARGO_INCREMENTAL=0
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1"
host=$(rustc -vV | sed -n 's/^host: //p')
# With a target named, build scripts and macros are left without counters.
cargo build --release --locked --manifest-path "$root/tests/fuzz/Cargo.toml" --target "$host" "$@"
