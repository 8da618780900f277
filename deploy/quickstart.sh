#!/usr/bin/env bash
# Leaves Doorward running on this machine, or plays its story first. Safe to run again at any time.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
# Settings of this shell, which may point commands at another Doorward, are not this machine's.
unset "${!DOORWARD_@}"

usage() {
    cat <<'HELP'
Usage: deploy/quickstart.sh [--demo | --help]

  (nothing)   installs what is missing, builds, and leaves Doorward running on this
              machine: as a systemd service, or in the foreground without systemd
  --demo      installs what the demo needs, builds, and plays the story of a shop's
              door in network namespaces; nothing of Doorward stays on the machine
  --help      this text

Works on Debian and Ubuntu with a shell, apt and a Rust toolchain, as root or with
sudo. Running it again repairs and updates, and keeps data and configuration.
HELP
}

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILT=${CARGO_TARGET_DIR:-$REPO/target}/release/doorward
PROGRAM=/usr/local/bin/doorward
CONFIG=/etc/doorward/doorward.toml
DATA=/var/lib/doorward
UNIT=/etc/systemd/system/doorward.service
PORT=51820

say() { printf '%s\n' "$*"; }
head_line() { printf '\n== %s\n' "$*"; }
die() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

# Runs a command as root.
as_root() { if [ "$EUID" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Runs a command as the person who called, so that the build folder stays theirs.
as_caller() {
    if [ "$EUID" = 0 ] && [ "$(stat -c %u "$REPO")" != 0 ] && [ "${SUDO_USER:-root}" != root ]; then
        sudo -H -u "$SUDO_USER" env "PATH=$PATH" "$@"
    else
        "$@"
    fi
}

systemd_runs() { [ -d /run/systemd/system ]; }

# ---------------------------------------------------------------- packages

# Packages that are missing, each with the reason, as "package|reason" lines.
MISSING=()

# needs COMMAND PACKAGE REASON
needs() {
    local package
    if command -v "$1" >/dev/null; then return; fi
    for package in "${MISSING[@]}"; do
        if [ "${package%%|*}" = "$2" ]; then return; fi
    done
    MISSING+=("$2|$3")
}

needs_for_running() {
    needs cc gcc 'the C compiler that Rust links with'
    needs as binutils 'the linker'
    if [ ! -e /usr/include/stdlib.h ]; then MISSING+=("libc6-dev|headers for the cryptographic library"); fi
    if [ ! -e /etc/ssl/certs/ca-certificates.crt ]; then MISSING+=("ca-certificates|cargo fetches over TLS"); fi
    needs ip iproute2 'networks'
    needs nft nftables 'NAT on the gateway'
    needs conntrack conntrack 'makes the kernel forget revoked connections'
    needs wg wireguard-tools 'keys, and the command wg show'
    needs useradd passwd 'the user that the control plane runs as'
    needs setpriv util-linux 'gives up root'
}

needs_for_demo() {
    needs wireguard-go wireguard-go 'the WireGuard client of the laptops'
    needs nginx nginx 'the admin panel'
    needs curl curl 'the browser'
    needs openssl openssl 'the certificate of the panel'
    needs sysctl procps 'routers'
    if [ -z "$(find /usr/lib/postgresql -maxdepth 3 -name initdb 2>/dev/null)" ]; then
        MISSING+=("postgresql|the customer database")
    fi
}

# Installs what is missing. nginx and PostgreSQL would be started, and started again at each boot, by their packages:
# the demo wants their programs alone.
install_missing() {
    local row packages=() quiet=no
    local installer=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends)
    if ((${#MISSING[@]} == 0)); then
        say 'Every package that is needed is here.'
        return
    fi
    if ! command -v apt-get >/dev/null; then
        die "these packages are missing and there is no apt: $(printf '%s ' "${MISSING[@]%%|*}")"
    fi
    say 'Installing with apt what is missing:'
    for row in "${MISSING[@]}"; do
        printf '  %-16s %s\n' "${row%%|*}" "${row#*|}"
        packages+=("${row%%|*}")
        case ${row%%|*} in nginx | postgresql) quiet=yes ;; esac
    done
    if [ $quiet = yes ]; then
        say 'Web server and database are neither started nor switched on: the demo runs its own.'
        installer=("$REPO/deploy/demo/apt-without-services.sh")
    fi
    quietly as_root apt-get update -qq
    quietly as_root "${installer[@]}" "${packages[@]}"
    say 'Installed.'
}

# Runs a command and shows the end of what it said only if it fails.
quietly() {
    local log
    log=$(mktemp)
    if ! "$@" </dev/null >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die 'apt could not install what is missing, for the reason above'
    fi
    rm -f "$log"
}

# ---------------------------------------------------------------- build

# Finds cargo, also where rustup puts it for the person behind sudo.
find_cargo() {
    local home wanted found
    home=$(getent passwd "${SUDO_USER:-$(id -un)}" | cut -d: -f6)
    if ! command -v cargo >/dev/null && [ -x "$home/.cargo/bin/cargo" ]; then
        PATH=$PATH:$home/.cargo/bin
        export RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup}
    fi
    if ! command -v cargo >/dev/null; then
        say 'Rust is missing. Install it as https://rustup.rs says, which is this one line:' >&2
        say "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2
        die 'then open a new shell and run this again'
    fi
    wanted=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' "$REPO/Cargo.toml" | head -n 1)
    found=$(cd "$REPO" && as_caller rustc --version | cut -d' ' -f2)
    if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
        die "Rust $found is too old, $wanted or newer is needed: run \`rustup update stable\`, then this again"
    fi
}

build() {
    local began=$SECONDS
    head_line 'Building'
    if [ ! -x "$BUILT" ]; then
        say 'The first build takes several minutes; later ones are quick.'
    fi
    (cd "$REPO" && as_caller cargo build --release --locked --package doorward)
    say "Built in $((SECONDS - began)) s."
}

# ---------------------------------------------------------------- install

# The address that people's devices dial, as far as this machine can know it.
outward_address() {
    ip -4 route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p' | head -n 1
}

is_private() {
    case $1 in
        10.* | 192.168.* | 169.254.*) return 0 ;;
        172.1[6-9].* | 172.2[0-9].* | 172.3[01].*) return 0 ;;
        100.6[4-9].* | 100.[7-9][0-9].* | 100.1[01][0-9].* | 100.12[0-7].*) return 0 ;;
    esac
    return 1
}

write_config() {
    local endpoint="endpoint = \"$1:$PORT\""
    if [ -z "$1" ]; then endpoint='#endpoint = "203.0.113.2:51820"'; fi
    if as_root test -e $CONFIG; then
        say "Kept      $CONFIG"
        return
    fi
    as_root install -d -m 0755 /etc/doorward
    as_root install -m 0640 -g doorward /dev/null $CONFIG
    as_root tee $CONFIG >/dev/null <<TOML
# Doorward. All keys and their defaults are in deploy/example/doorward.toml; an unknown key is an error that names it.
# After a change: systemctl restart doorward (people's tunnels come back by themselves).

[gateway]
# What people's devices dial. It must be reachable from the internet: if this machine has a private address behind its
# provider's NAT, write the public address or a DNS name here before you hand out configs.
$endpoint

[server]
# The API (HTTPS) for this machine alone. Use "0.0.0.0:8443" to administer it from elsewhere with an API token.
listen = "127.0.0.1:8443"

[network]
# People's configs route Doorward's own network alone, in which each resource has an address: they stay right when grants
# change, and work where the network at hand uses the same addresses as yours. "targets" routes the granted addresses too.
routes = "service"
TOML
    say "Wrote     $CONFIG"
}

install_files() {
    head_line 'Installing'
    CHANGED=no
    if ! cmp -s "$BUILT" $PROGRAM; then
        as_root install -m 0755 "$BUILT" $PROGRAM.new
        as_root mv -f $PROGRAM.new $PROGRAM
        CHANGED=yes
        say "Installed $PROGRAM"
    else
        say "Kept      $PROGRAM (unchanged)"
    fi
    if ! getent group doorward >/dev/null; then as_root groupadd --system doorward; fi
    if ! getent passwd doorward >/dev/null; then
        as_root useradd --system --gid doorward --no-create-home --home-dir $DATA --shell /usr/sbin/nologin doorward
        say 'Made      user and group doorward, which the control plane runs as'
    fi
    if [ ! -d $DATA ]; then as_root install -d -m 1770 -g doorward $DATA; fi
    write_config "$1"
}

gateway_connected() {
    as_root timeout 5 $PROGRAM status --json 2>/dev/null | tr -d ' \n' | grep -q '"connected":true'
}

start_service() {
    local tries
    head_line 'Starting the service'
    if ! cmp -s "$REPO/deploy/systemd/doorward.service" $UNIT; then
        as_root install -m 0644 "$REPO/deploy/systemd/doorward.service" $UNIT
        as_root systemctl daemon-reload
        CHANGED=yes
        say "Wrote     $UNIT"
    fi
    as_root systemctl enable --quiet doorward.service
    # The admin socket is as old as the running control plane.
    if as_root test $CONFIG -nt $DATA/admin.sock; then CHANGED=yes; fi
    as_root systemctl "$([ $CHANGED = yes ] && echo restart || echo start)" doorward || {
        as_root journalctl --unit doorward --lines 15 --no-pager --output cat >&2 || true
        die 'the service did not start, for the reason above'
    }
    for ((tries = 0; tries < 60; tries++)); do
        if gateway_connected; then return; fi
        sleep 0.5
    done
    die 'the gateway is not connected after 30 s: journalctl --unit doorward says why'
}

# What nobody but the person at the keyboard can do: open a port, and know the public address.
left_to_do() {
    local address=$1 endpoint port
    endpoint=$(as_root sed -n 's/^ *endpoint *= *"\([^"]*\)".*/\1/p' $CONFIG | head -n 1)
    port=${endpoint##*:}
    port=${port:-$PORT}
    cat <<TEXT

Its data        $DATA
Its settings    $CONFIG
People dial     ${endpoint:-this machine, port $PORT}

Open one port   UDP $port in your provider's firewall. Nothing else has to be open.
TEXT
    if command -v ufw >/dev/null && as_root ufw status 2>/dev/null | grep -q '^Status: active'; then
        say "                On this machine ufw is on: sudo ufw allow $port/udp"
    fi
    if [ "$endpoint" = "$address:$PORT" ] && is_private "$address"; then
        cat <<TEXT

Please check    $address is a private address. If people come from the internet,
                write your public address or name as endpoint in
                $CONFIG and run this again.
TEXT
    fi
}

next_steps() {
    cat <<'TEXT'

Type next       (as root, or as a member of the group doorward)
  doorward resource add admin-panel --target 10.0.5.10 --allow tcp/443
  doorward resource add customer-db --target 10.0.5.20 --allow tcp/5432
  doorward person add support@shop.example --name "Support desk" --kind staff
  doorward grant add support@shop.example admin-panel --for 30d
  doorward device add support@shop.example phone --qr
  doorward status
And when somebody leaves:
  doorward person offboard support@shop.example --reason "left the shop"
TEXT
}

# ---------------------------------------------------------------- the two ways

check_machine() {
    if [ "$(uname -s)" != Linux ]; then die 'Doorward runs on Linux only'; fi
    if [ "$EUID" != 0 ] && ! command -v sudo >/dev/null; then
        die 'this needs root, and there is no sudo: run it as root'
    fi
    if [ "$EUID" != 0 ]; then say 'Some steps need root; sudo may ask for your password.' && sudo -v; fi
    if [ ! -c /dev/net/tun ]; then as_root modprobe tun 2>/dev/null || true; fi
    if [ ! -c /dev/net/tun ]; then
        die 'this machine has no /dev/net/tun: in a container, start it with --device /dev/net/tun --cap-add NET_ADMIN'
    fi
}

demo() {
    needs_for_running
    needs_for_demo
    find_cargo
    head_line 'Packages'
    install_missing
    build
    as_root env "NO_COLOR=${NO_COLOR:-}" "TERM=${TERM:-dumb}" "$REPO/deploy/demo/demo.sh" "$BUILT"
}

setup() {
    local address
    needs_for_running
    find_cargo
    head_line 'Packages'
    install_missing
    build
    address=$(outward_address)
    install_files "$address"
    if systemd_runs; then
        start_service
        say
        say "Doorward runs as the service doorward: the gateway, which people's devices dial,"
        say 'and the control plane, which keeps people, grants and the audit.'
        left_to_do "$address"
        next_steps
    elif gateway_connected; then
        say
        say 'Doorward runs already, in the foreground somewhere. After a change, end it with'
        say 'Ctrl-C and start it again: doorward up'
        left_to_do "$address"
        next_steps
    else
        left_to_do "$address"
        head_line 'There is no systemd here: Doorward runs in this terminal until Ctrl-C'
        if [ "$EUID" = 0 ]; then exec $PROGRAM up; else exec sudo $PROGRAM up; fi
    fi
}

case ${1:-} in
    --help | -h) usage ;;
    '')
        check_machine
        setup
        ;;
    --demo)
        check_machine
        demo
        ;;
    *)
        usage >&2
        exit 2
        ;;
esac
