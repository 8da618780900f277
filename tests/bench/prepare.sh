# shellcheck shell=bash
# What run.sh and scale.sh begin with. They set HERE, PINNED and OFFLOADS before, and perhaps OUT and GATEWAYS.
REPO=$(cd "$HERE/../.." && pwd)
BUILD=${CARGO_TARGET_DIR:-$REPO/target}
TOOLS=$BUILD/bench/tools
OUT=${OUT:-$BUILD/bench/$(date -u +%Y%m%dT%H%M%SZ)}
TAG=dwbench$$
for variable in "${!DOORWARD_@}"; do
    if [ "$variable" != DOORWARD_BIN ]; then unset "$variable"; fi
done
if [ "$EUID" != 0 ]; then
    echo 'bench: network namespaces need root: run it with sudo' >&2
    exit 1
fi
if [ "$PINNED" = yes ] && [ "$(nproc)" -lt 2 ]; then
    echo 'bench: one CPU alone: nothing is pinned, and floods measure the generator as much as the gateway' >&2
    PINNED=no
fi
# One socket for each device that blast plays.
ulimit -n "$(ulimit -Hn)"

# shellcheck source=tests/bench/tools.sh
. "$HERE/tools.sh"
# shellcheck source=tests/bench/networks.sh
. "$HERE/networks.sh"
# shellcheck source=tests/bench/measure.sh
. "$HERE/measure.sh"

# What the report says about the run, "key value": describe COMMAND ARGUMENT...
describe() {
    local word line=''
    for word in "$@"; do
        if [[ $word == *' '* ]]; then word="'$word'"; fi
        line+=" $word"
    done
    echo "command$line"
    echo "date $(date -u +%F)"
    echo "machine $(nproc) CPUs ($(sed -n 's/^model name.*: //p;T;q' /proc/cpuinfo)), $(awk '/^MemTotal/ { printf "%.0f", $2 / 2^20 }' /proc/meminfo) GiB"
    echo "kernel Linux $(uname -r)"
    echo "revision $(git -C "$REPO" rev-parse --short HEAD 2>/dev/null || true)"
    echo "load $(cut -d ' ' -f 1 /proc/loadavg)"
    echo "pinned $PINNED"
    echo "offloads $OFFLOADS"
    echo "rounds ${ROUNDS:-}"
    echo "seconds ${SECONDS_EACH:-}"
    echo "tests ${TESTS:-}"
    echo "gateways ${GATEWAYS:-}"
}

# Other work on the machine yields to the measurement; automatic groups ignore a plain `nice` across sessions.
yield_no_more() { echo -10 2>/dev/null >/proc/self/autogroup || true; }
