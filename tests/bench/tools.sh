# shellcheck shell=bash
# The programs that the benchmark compares, and those it measures with.

# Installs, by their names, the packages whose commands are missing: command/package pairs.
install_missing() {
    local pair packages=()
    for pair in "$@"; do
        if ! command -v "${pair%%/*}" >/dev/null; then packages+=("${pair##*/}"); fi
    done
    if ((${#packages[@]} == 0)); then return; fi
    echo "installing with apt: ${packages[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
}

# Unpacks Debian's newest wireguard-go (segmentation offloads came after the one in Debian 12) without installing it
# and without touching apt's own lists. Fails where the machine is no Debian or the archive cannot be reached.
fetch_wireguard_go() {
    local apt=$TOOLS/apt archive keyring=/usr/share/keyrings/debian-archive-keyring.gpg options
    # shellcheck disable=SC2016 # the dollar sign is apt's
    archive=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' | sed -n '/security/d;s/^Debian //p' | head -n 1)
    if [ -z "$archive" ] || [ ! -e $keyring ]; then return 1; fi
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    echo "deb [signed-by=$keyring] $archive sid main" >"$apt/sources.list"
    options=(-qq -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o Acquire::Languages=none
        -o APT::Sandbox::User=root)
    cd "$apt" && apt-get "${options[@]}" update && apt-get "${options[@]}" download wireguard-go &&
        dpkg-deb -x wireguard-go_*.deb unpacked &&
        install -m 0755 unpacked/usr/bin/wireguard-go "$TOOLS/wireguard-go"
}

find_wireguard_go() {
    WIREGUARD_GO=${WIREGUARD_GO:-$TOOLS/wireguard-go}
    if [ -x "$WIREGUARD_GO" ]; then return; fi
    echo "fetching the newest wireguard-go into $TOOLS"
    if (fetch_wireguard_go) >"$TOOLS/fetch.log" 2>&1; then
        rm -rf "$TOOLS/apt"
        return
    fi
    install_missing wireguard-go/wireguard-go
    WIREGUARD_GO=$(command -v wireguard-go)
    echo "the newest wireguard-go cannot be had: comparing with the installed one"
}

# The distribution's own, which may be years older.
find_old_wireguard_go() {
    if [ -z "${WIREGUARD_GO_OLD:-}" ]; then
        install_missing wireguard-go/wireguard-go
        WIREGUARD_GO_OLD=$(command -v wireguard-go)
    fi
}

# find_crate VARIABLE PROGRAM PACKAGE VERSION: takes the variable's word, or builds it.
find_crate() {
    local -n program=$1
    program=${program:-$TOOLS/bin/$2}
    if [ -x "$program" ]; then return; fi
    echo "building $3 $4 into $TOOLS"
    cargo install --quiet --locked --root "$TOOLS" "$3@$4"
}

# One selection of targets with the tests' features, so that nothing is built twice.
build_ours() {
    if [ -n "${DOORWARD_BIN:-}" ] && [ -n "${BLAST:-}" ]; then return; fi
    DOORWARD_BIN=${DOORWARD_BIN:-$BUILD/release/doorward}
    BLAST=${BLAST:-$BUILD/release/blast}
    (cd "$REPO" && cargo build --quiet --release --locked --workspace --bin doorward --bin blast)
}

# Finds, or gets, everything. The clients' tunnels are the newest wireguard-go's for all gateways alike.
find_tools() {
    local gateway
    mkdir -p "$TOOLS"
    install_missing iperf3/iperf3 ping/iputils-ping ip/iproute2 wg/wireguard-tools nft/nftables conntrack/conntrack \
        taskset/util-linux ethtool/ethtool pgrep/procps python3/python3-minimal
    build_ours
    find_wireguard_go
    for gateway in ${GATEWAYS:-doorward}; do
        case $gateway in
            wireguard-go-old) find_old_wireguard_go ;;
            boringtun) find_crate BORINGTUN boringtun-cli boringtun-cli 0.7.1 ;;
            gotatun) find_crate GOTATUN gotatun gotatun-cli 0.10.2 ;;
        esac
    done
}

version_of() {
    case $1 in
        doorward) "$DOORWARD_BIN" version ;;
        wireguard-go) "$WIREGUARD_GO" --version ;;
        wireguard-go-old) "$WIREGUARD_GO_OLD" --version ;;
        boringtun) "$BORINGTUN" --version ;;
        gotatun) "$GOTATUN" --version ;;
    esac 2>&1 | head -n 1
}
