# shellcheck shell=bash
# The demo's world: seven network namespaces, an admin panel, a customer database. Everything has this run's name on it,
# lives in this run's folder, and goes when the run ends, however it ends.
#
#   support 10.20.0.11 ─┐                                                ┌─ panel 10.0.5.10 (nginx, TLS)
#                       ├─ cafe (NAT) ─ 198.51.100.0/24 ─ internet ─ gateway
#   agency  10.20.0.12 ─┘  10.20.0.1 .7             .1  203.0.113.1  .2  └─ db    10.0.5.20 (PostgreSQL)
#                                                                10.0.5.1

MACHINES=(support agency cafe internet gateway panel db)
TAG=dwdemo$$
FOLDER=

# Runs a command on a machine of the demo.
on() {
    local machine=$1
    shift
    ip netns exec "$TAG-$machine" "$@"
}

die() {
    ticked
    printf '\n%sdemo: %s%s\n' "$RED" "$1" "$PLAIN" >&2
    if [ -n "${2:-}" ] && [ -s "$2" ]; then tail -n 15 "$2" >&2; fi
    exit 1
}

# A folder that the control plane, which gives up root, can walk through, and from which it can be started.
open_folder() {
    local base
    for base in /tmp /var/tmp; do
        FOLDER=$(mktemp -d "$base/doorward-demo.$$.XXXXXX") || continue
        chmod 0711 "$FOLDER"
        mkdir -m 0755 "$FOLDER/bin"
        install -m 0755 "$1" "$FOLDER/bin/doorward"
        if setpriv --reuid 65534 --regid 65534 --clear-groups "$FOLDER/bin/doorward" version >/dev/null 2>&1; then
            return 0
        fi
        rm -rf "$FOLDER"
        FOLDER=
    done
    die "neither /tmp nor /var/tmp lets an unprivileged user start a program: mount one of them without noexec"
}

# Joins two machines: link A A_INTERFACE B B_INTERFACE
link() {
    ip link add "$2" netns "$TAG-$1" type veth peer name "$4" netns "$TAG-$3" &&
        ip -n "$TAG-$1" link set "$2" up && ip -n "$TAG-$3" link set "$4" up
}

# A switch inside a machine, with an address, for the interfaces that follow.
switch() {
    local machine=$1 name=$2 address=$3 port
    shift 3
    ip -n "$TAG-$machine" link add "$name" type bridge
    for port in "$@"; do ip -n "$TAG-$machine" link set "$port" master "$name"; done
    ip -n "$TAG-$machine" link set "$name" up
    ip -n "$TAG-$machine" addr add "$address" dev "$name"
}

# Gives a machine an address and a default route.
settle() {
    ip -n "$TAG-$1" addr add "$3" dev "$2" && ip -n "$TAG-$1" route add default via "$4"
}

lay_cables() {
    local machine
    for machine in "${MACHINES[@]}"; do
        ip netns add "$TAG-$machine" && ip -n "$TAG-$machine" link set lo up || return 1
    done
    link support wlan0 cafe lan1 && link agency wlan0 cafe lan2 && link cafe wan internet cafe &&
        link gateway wan internet shop && link gateway lan1 panel eth0 && link gateway lan2 db eth0 || return 1
    switch cafe lan 10.20.0.1/24 lan1 lan2
    switch gateway lan 10.0.5.1/24 lan1 lan2
    ip -n "$TAG-internet" addr add 198.51.100.1/24 dev cafe
    ip -n "$TAG-internet" addr add 203.0.113.1/24 dev shop
    settle support wlan0 10.20.0.11/24 10.20.0.1 && settle agency wlan0 10.20.0.12/24 10.20.0.1 &&
        settle cafe wan 198.51.100.7/24 198.51.100.1 && settle gateway wan 203.0.113.2/24 203.0.113.1 &&
        settle panel eth0 10.0.5.10/24 10.0.5.1 && settle db eth0 10.0.5.20/24 10.0.5.1 || return 1
    on cafe sysctl -qw net.ipv4.ip_forward=1 && on internet sysctl -qw net.ipv4.ip_forward=1 || return 1
    on cafe nft -f - <<'NFT'
table ip cafe {
    chain nat { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }
}
NFT
}

# Makes the panel's certificate, for its address in the shop and any other that people reach it by.
make_certificate() {
    local dir=$FOLDER/panel names=IP:10.0.5.10${1:+,IP:$1}
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=panel.shop.example' \
        -addext "subjectAltName=$names" -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>"$dir/openssl.log" || return 1
    chmod 0644 "$dir/cert.pem"
}

# What a shop does once: the panel gets a certificate that holds for the resource's own address too.
certify_panel() {
    local dir=$FOLDER/panel
    make_certificate "$1" && on panel nginx -e "$dir/error.log" -c "$dir/nginx.conf" -s reload || return 1
    wait_for 10 certified "$1"
}
certified() {
    on panel openssl s_client -connect 10.0.5.10:443 </dev/null 2>/dev/null |
        openssl x509 -noout -checkip "$1" 2>/dev/null | grep -q 'does match'
}

# The admin panel: nginx with TLS, one page, and one large export that is sent slowly.
open_panel() {
    local dir=$FOLDER/panel
    mkdir -p "$dir/www" "$dir/tmp" && chmod 0755 "$dir" "$dir/www" && chmod 1777 "$dir/tmp"
    make_certificate || return 1
    echo '<title>Shop admin</title><h1>Orders today: 128</h1>' >"$dir/www/index.html"
    truncate -s 64M "$dir/www/customers.csv"
    cat >"$dir/nginx.conf" <<NGINX
daemon off;
pid $dir/nginx.pid;
error_log $dir/error.log;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path $dir/tmp; proxy_temp_path $dir/tmp; fastcgi_temp_path $dir/tmp;
    uwsgi_temp_path $dir/tmp; scgi_temp_path $dir/tmp;
    server {
        listen 10.0.5.10:443 ssl;
        ssl_certificate $dir/cert.pem;
        ssl_certificate_key $dir/key.pem;
        root $dir/www;
        location = /customers.csv { limit_rate 400k; }
    }
}
NGINX
    on panel nginx -e "$dir/error.log" -c "$dir/nginx.conf" >"$dir/nginx.log" 2>&1 &
    wait_for 10 on panel curl -sf --cacert "$dir/cert.pem" -o /dev/null https://10.0.5.10/
}

# Runs a program of PostgreSQL as the user postgres, on the database's machine.
pg() {
    local program=$1
    shift
    on db setpriv --reuid postgres --regid postgres --init-groups "$PG_BIN/$program" "$@"
}

# Asks the database on its own machine, past every network.
ask_db() { pg psql -qtAX -h "$FOLDER/db" -d shop -c "$1"; }

# The customer database: a PostgreSQL of its own with 12,000 orders.
open_db() {
    local dir=$FOLDER/db log=$FOLDER/initdb.log
    install -d -o postgres -m 0700 "$dir" || return 1
    cd "$dir" || return 1
    pg initdb -D "$dir/data" -U postgres --auth=trust -E UTF8 --locale=C --no-sync >"$log" 2>&1 || return 1
    echo 'host shop agency 10.0.5.0/24 scram-sha-256' >>"$dir/data/pg_hba.conf"
    pg postgres -D "$dir/data" -k "$dir" -c listen_addresses=10.0.5.20 -c fsync=off -c max_connections=20 \
        -c shared_buffers=16MB -c jit=off >"$FOLDER/postgres.log" 2>&1 &
    wait_for 20 pg pg_isready -q -h "$dir" || return 1
    pg psql -qX -v ON_ERROR_STOP=1 -h "$dir" -d postgres -c 'create database shop' >>"$log" 2>&1 || return 1
    pg psql -qX -v ON_ERROR_STOP=1 -h "$dir" -d shop >>"$log" 2>&1 <<'SQL'
create table orders (id int primary key, customer text not null, total numeric(10, 2) not null, note text not null);
insert into orders
    select i, 'customer ' || i % 900, round((i * 7919 % 20000) / 100.0, 2), repeat('gift wrapping, please; ', 20)
    from generate_series(1, 12000) as i;
create role agency login password 'demo';
grant select on orders to agency;
SQL
}

# Switches a person's WireGuard client on: the distribution's own wg-quick, with the kernel's WireGuard or wireguard-go.
tunnel_on() {
    on "$1" env WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1 \
        LOG_LEVEL=error wg-quick up "$2" >"$FOLDER/$1.wg-quick.log" 2>&1
}
tunnel_off() { on "$1" wg-quick down "$2" >>"$FOLDER/$1.wg-quick.log" 2>&1; }

# Whatever still runs on the demo's machines.
running() {
    local machine
    for machine in "${MACHINES[@]}"; do ip netns pids "$TAG-$machine" 2>/dev/null; done
    return 0
}

nothing_runs() { [ -z "$(running)" ]; }

# Ends every process of the demo, its machines, its sockets and its folder. Safe to call at any point of the way.
clean_up() {
    local pids machine
    trap '' INT TERM HUP
    mapfile -t pids < <(jobs -p)
    if ((${#pids[@]} > 0)); then kill -TERM "${pids[@]}" 2>/dev/null; fi
    mapfile -t pids < <(running)
    if ((${#pids[@]} > 0)); then
        kill -TERM "${pids[@]}" 2>/dev/null
        if ! wait_for 5 nothing_runs; then
            mapfile -t pids < <(running)
            kill -KILL "${pids[@]}" 2>/dev/null
            wait_for 5 nothing_runs
        fi
    fi
    for machine in "${MACHINES[@]}"; do
        if [ -e "/run/netns/$TAG-$machine" ]; then ip netns del "$TAG-$machine"; fi
    done
    rm -f "/run/wireguard/$TAG"*.sock
    if [ -n "$FOLDER" ]; then rm -rf "$FOLDER"; fi
}

# Clears what a demo left that was killed in a way that nobody can catch.
clear_leftovers() {
    local path pid
    for path in /run/netns/dwdemo*-support; do
        pid=${path#*/dwdemo}
        pid=${pid%-support}
        if [ -e "$path" ] && [ ! -d "/proc/$pid" ]; then
            (TAG=dwdemo$pid FOLDER='' clean_up)
            rm -rf /tmp/doorward-demo."$pid".* /var/tmp/doorward-demo."$pid".*
        fi
    done
}
