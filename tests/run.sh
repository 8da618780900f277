#!/usr/bin/env bash
# Everything that CI runs, in one command, on a fresh Debian or Ubuntu with Rust: style, lints, documentation,
# licences, scripts, unit tests, tests on SQLite and PostgreSQL, end-to-end scenarios in network namespaces, the demo.
#
#   tests/run.sh [--no-demo]
#
# Needs root or sudo for the scenarios. Exits 0 only if every step held; the last line counts the tests.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
# shellcheck source=tests/packages.sh
. tests/packages.sh
export PATH="$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin"
demo=yes
[ "${1:-}" = --no-demo ] && demo=no

if [ "$(id -u)" -ne 0 ] && ! have sudo; then
    echo "tests/run.sh needs root for network namespaces: run it as root, or install sudo." >&2
    exit 1
fi
if ! have cargo; then
    echo "There is no cargo on this machine: install Rust with rustup (https://rustup.rs), then run this again." >&2
    exit 1
fi

FAILED=()
LOG=$(mktemp -d)
trap 'rm -rf "$LOG"' EXIT

# step NAME COMMAND…: runs it, shows how long it took; output is shown where it fails.
step() {
    local name=$1 start=$SECONDS
    shift
    printf '── %s …\n' "$name"
    if "$@" >"$LOG/out" 2>&1; then
        printf '   ok, %d s\n' $((SECONDS - start))
    else
        FAILED+=("$name")
        tail -n 120 "$LOG/out"
        printf '   FAILED after %d s: %s\n' $((SECONDS - start)) "$name"
        return 1
    fi
}

packages() {
    need cc gcc "compiles the C parts of the TLS library"
    [ -e /usr/include/stdio.h ] || { MISSING_PACKAGES+=(libc6-dev); MISSING_REASONS+=("  libc6-dev: headers for the same"); }
    need ip iproute2 "network namespaces"
    need nft nftables "the gateway's address translation"
    need conntrack conntrack "forgetting connections that were revoked"
    need wg wireguard-tools "the official tools, as clients"
    need wireguard-go wireguard-go "a WireGuard client that nobody here wrote"
    need tcpdump tcpdump "the witness of the scenarios"
    need faketime faketime "a wall clock that one process of a scenario alone sees"
    need ping iputils-ping "the scenarios"
    need sysctl procps "the scenarios"
    need pebble pebble "a certificate authority for the tests of ACME"
    need slapd slapd "a directory for the tests of asking over LDAP"
    need shellcheck shellcheck "checks our scripts"
    need node nodejs "runs the tests of the pages' modules"
    need valgrind valgrind "counts the instructions that a packet costs"
    need_postgresql "the store's tests run on the real one"
    install_missing
}

cargo_tools() {
    cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt || return 1
    cargo clippy --version >/dev/null 2>&1 || rustup component add clippy || return 1
    # It reads a few files: it is built without the optimiser, which would take longer than it saves.
    cargo deny --version >/dev/null 2>&1 ||
        CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off cargo install --locked cargo-deny
}

# Other people's WireGuard, for the interoperation scenarios: built once, beside the build, three and a half minutes on two
# cores. `DOORWARD_TEST_TOOLS` names a folder that has them already.
foreign_clients() {
    local tools
    tools=$(realpath -m "${CARGO_TARGET_DIR:-target}/tools")
    export DOORWARD_TEST_TOOLS=${DOORWARD_TEST_TOOLS:-$tools/bin}
    if [ -x "$DOORWARD_TEST_TOOLS/boringtun-cli" ] && [ -x "$DOORWARD_TEST_TOOLS/gotatun" ]; then return; fi
    nice -n 5 cargo install --locked --root "$tools" boringtun-cli@0.7.1 gotatun-cli@0.10.2
}

documentation() { RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps; }

scripts() { find deploy tests .ci -type f \( -name '*.sh' -o -path .ci/run \) -print0 | xargs -0 shellcheck -x; }

# Test output is shown as it comes: this is the long part.
tests() {
    local start=$SECONDS status=0 host
    printf '── tests …\n'
    host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    if [ "$(id -u)" -ne 0 ]; then export "CARGO_TARGET_${host}_RUNNER=sudo --preserve-env"; fi
    # Scenarios wait more than they work: four at a time keep two cores busy.
    RUST_TEST_THREADS=${RUST_TEST_THREADS:-4} cargo test --release --workspace --no-fail-fast 2>&1 |
        tee "$LOG/tests" | grep --line-buffered -vE '^ +(Compiling|Downloaded) '
    status=${PIPESTATUS[0]}
    if [ "$status" -eq 0 ]; then
        printf '   ok, %d s\n' $((SECONDS - start))
    else
        FAILED+=(tests)
        printf '   FAILED after %d s: tests\n' $((SECONDS - start))
    fi
}

# Adds up the closing lines of all test binaries.
count() {
    awk '/^test result:/ { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i-1); if ($i ~ /^failed/) f += $(i-1) } }
         END { printf "%d passed, %d failed\n", p, f }' "$LOG/tests"
}

step "packages" packages || exit 1
step "cargo's tools" cargo_tools || exit 1
step "formatting (cargo fmt --check)" cargo fmt --all --check
step "scripts (shellcheck)" scripts
step "the pages' modules (node --test)" node --test control-plane/server/assets/tests/*.test.mjs
step "licences, sources and bans (cargo deny)" cargo deny --workspace check bans licenses sources
step "build (release)" cargo build --release --workspace --all-targets || { echo "0 passed, 1 failed"; exit 1; }
step "other people's clients (cargo install)" foreign_clients
step "lints (clippy)" cargo clippy --release --workspace --all-targets -- -D warnings
step "documentation (rustdoc)" documentation
tests
step "instructions a packet (valgrind)" tests/bench/instructions.sh --check
# The binary is built already; deploy/quickstart.sh would build it once more with its own selection of features.
story() {
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" env NO_COLOR=1 TERM=dumb deploy/demo/demo.sh "${CARGO_TARGET_DIR:-target}/release/doorward"
}
if [ "$demo" = yes ]; then step "the demo" story; fi

if [ "${#FAILED[@]}" -gt 0 ]; then
    printf 'Failed: %s\n' "${FAILED[@]}"
else
    printf 'Every step held, in %d s.\n' "$SECONDS"
fi
count
[ "${#FAILED[@]}" -eq 0 ]
