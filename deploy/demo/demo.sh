#!/usr/bin/env bash
# Plays the story of a shop's door on one machine, in network namespaces that are gone afterwards.
#
#   demo.sh [PATH-OF-DOORWARD]     as root; the binary is target/release/doorward unless another is named
#
# Needs nginx, PostgreSQL, wireguard-tools, wireguard-go, nftables, conntrack, iproute2, curl and openssl:
# `deploy/quickstart.sh --demo` installs what is missing, builds, and then starts this. Exit 0: every step held.
set -uo pipefail
PATH=$PATH:/usr/sbin:/sbin
# A shop's own settings, which may point commands at its own Doorward, are not the demo's.
unset "${!DOORWARD_@}"

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BINARY=$(realpath -- "${1:-$HERE/../../target/release/doorward}")
# shellcheck source=deploy/demo/lib.sh
. "$HERE/lib.sh"
# shellcheck source=deploy/demo/world.sh
. "$HERE/world.sh"

# The panel's address in the shop; the tunnels know the resources' own addresses alone, which are read when they are given.
PANEL_INSIDE=https://10.0.5.10
GRANT_SECONDS=20

# Runs the demo's own Doorward; an installed one has another data folder and is not asked.
doorward() { "$FOLDER/bin/doorward" "$@" --data "$FOLDER/data"; }

# Shows a command of the shop's admin as it would be typed, and runs it. Its output is left in $FOLDER/said.
admin() {
    local word line=(doorward)
    for word in "$@"; do
        case $word in
            "$FOLDER"/*) line+=(laptop.conf) ;;
            *[!A-Za-z0-9@./:_=+-]*) line+=("\"$word\"") ;;
            *) line+=("$word") ;;
        esac
    done
    typed admin "${line[@]}"
    doorward "$@" >"$FOLDER/said" 2>&1 || die "this command failed: ${line[*]}" "$FOLDER/said"
}

# A resource's own address inside Doorward's network.
service_address() {
    doorward resource list --json | tr -d ' \n' | grep -o "\"name\":\"$1\".*" | json_value service_v4
}

connected() { doorward status --json 2>/dev/null | tr -d ' \n' | grep -q '"connected":true'; }
connected_or_dead() { connected || ! kill -0 "$UP" 2>/dev/null; }

start_doorward() {
    local began
    step 'Doorward starts on the gateway' 'Doorward starts'
    install -d -m 0755 "$FOLDER/data"
    printf '[gateway]\nendpoint = "203.0.113.2:51820"\ninterface = "%s"\n[network]\nroutes = "service"\n' "${TAG}g" \
        >"$FOLDER/doorward.toml"
    typed gateway doorward up
    began=$(now_us)
    on gateway "$FOLDER/bin/doorward" up --config "$FOLDER/doorward.toml" --data "$FOLDER/data" \
        >"$FOLDER/doorward.log" 2>&1 </dev/null &
    UP=$!
    wait_for 30 connected_or_dead
    connected || die 'Doorward did not start; it said:' "$FOLDER/doorward.log"
    verdict 0 running 'it runs' $(($(now_us) - began))
    say 'The shop names what stands behind the door, and two people. Each resource' \
        'gets an address of its own, which is all that a tunnel has to know.'
    admin resource add admin-panel --target 10.0.5.10 --allow tcp/443
    admin resource add customer-db --target 10.0.5.20 --allow tcp/5432
    PANEL_IP=$(service_address admin-panel) DB_IP=$(service_address customer-db)
    if [ -z "$PANEL_IP" ] || [ -z "$DB_IP" ]; then die 'the resources got no address'; fi
    PANEL=https://$PANEL_IP
    say "They are $PANEL_IP and $DB_IP."
    certify_panel "$PANEL_IP" || die 'the panel did not take its certificate:' "$FOLDER/panel/error.log"
    admin person add support@shop.example --name "Support desk" --kind staff
    admin person add dba@agency.example --name "Agency DBA" --kind contractor \
        --sponsor support@shop.example --until 4d
}

# Asks for a page of the panel: get MACHINE SECONDS [curl's arguments]. Leaves curl's exit code and the time.
get() {
    local machine=$1 seconds=$2 began
    shift 2
    began=$(now_us)
    on "$machine" curl -sS -m "$seconds" --cacert "$FOLDER/panel/cert.pem" "$@" >"$FOLDER/page" 2>"$FOLDER/curl.log"
    CODE=$?
    TOOK=$(($(now_us) - began))
}

nobody_without_a_tunnel() {
    step 'The cafe alone reaches nothing' 'cafe without a tunnel'
    typed support curl "$PANEL_INSIDE/"
    get support 3 "$PANEL_INSIDE/"
    printed <"$FOLDER/curl.log"
    verdict $((CODE == 0)) 'no answer' "$([ $CODE = 0 ] && echo answered || echo 'no answer')" "$TOOK"
}

staff_opens_panel() {
    local held=1
    step 'Staff opens the admin panel' 'staff opens the panel'
    admin grant add support@shop.example admin-panel --for 30d --reason "day-to-day support"
    admin device add support@shop.example laptop --out "$FOLDER/${TAG}s.conf"
    typed support wg-quick up laptop.conf
    tunnel_on support "$FOLDER/${TAG}s.conf" || die 'wg-quick failed; it said:' "$FOLDER/support.wg-quick.log"
    typed support curl "$PANEL/"
    get support 10 "$PANEL/"
    printed <"$FOLDER/page"
    if [ $CODE = 0 ] && grep -q 'Orders today' "$FOLDER/page"; then held=0; else printed <"$FOLDER/curl.log"; fi
    verdict $held 'the page' "$([ $held = 0 ] && echo 'the page' || echo 'no page')" "$TOOK"
}

# Runs SQL from the contractor's laptop.
ask() {
    on agency env PGPASSWORD=demo PGCONNECT_TIMEOUT=10 "$PG_BIN/psql" -XqtA -h "$DB_IP" -U agency -d shop -c "$1"
}

contractor_asks_db() {
    local began public held=1
    step 'A contractor queries the customer database' 'contractor asks database'
    say "The agency makes its own key; the shop sees the public half only. The grant lasts $GRANT_SECONDS seconds."
    (umask 077 && wg genkey >"$FOLDER/key")
    public=$(wg pubkey <"$FOLDER/key")
    admin grant add dba@agency.example customer-db --for "${GRANT_SECONDS}s" --reason "migrate the orders table"
    GRANT_ENDS=$(doorward person show dba@agency.example --json | tr -d '\n' | sed 's/.*"grants"//' | json_value until)
    GRANT_ENDS=$(date -d "$GRANT_ENDS" +%s%6N) || die 'the grant has no end'
    admin device add dba@agency.example laptop --public-key "$public" --out "$FOLDER/${TAG}a.conf"
    typed agency wg-quick up laptop.conf '   # with its private key pasted in'
    sed -i "s|^# PrivateKey = .*|PrivateKey = $(cat "$FOLDER/key")|" "$FOLDER/${TAG}a.conf"
    tunnel_on agency "$FOLDER/${TAG}a.conf" || die 'wg-quick failed; it said:' "$FOLDER/agency.wg-quick.log"
    typed agency psql -h "$DB_IP" shop -c '"select count(*), sum(total) from orders"'
    began=$(now_us)
    ask 'select count(*), sum(total) from orders' >"$FOLDER/rows" 2>&1
    began=$(($(now_us) - began))
    printed <"$FOLDER/rows"
    if grep -q '^12000|' "$FOLDER/rows"; then held=0; fi
    verdict $held '12000 orders' "$([ $held = 0 ] && echo '12000 orders' || echo 'no orders')" "$began"
}

contractor_tries_panel() {
    local held=1 seen=answered
    step 'The contractor tries the panel and is refused' 'contractor tries panel'
    say "Its tunnel carries the panel's address as well as the database's." \
        "What passes is decided at the gateway."
    typed agency curl "$PANEL/"
    get agency 5 "$PANEL/"
    printed <"$FOLDER/curl.log"
    case $CODE in 0) ;; 7) seen=refused held=0 ;; 28) seen='no answer' ;; *) seen="curl error $CODE" ;; esac
    verdict $held 'refused at once' "$seen" "$TOOK"
}

sessions() { ask_db "select count(*) from pg_stat_activity where usename = 'agency'"; }
no_session() { [ "$(sessions)" = 0 ]; }

# Runs a command to its end and leaves its exit code and the time of its end in a file: noted FILE COMMAND...
noted() {
    local file=$1
    shift
    "$@"
    echo "$? $(now_us)" >"$file"
}
# Reads that note into CODE and ENDED.
read_note() { read -r CODE ENDED <"$1"; }

# When a file was written last, in microseconds since 1970.
last_write() { stat -c %.6Y "$1" | tr -d .; }

grant_runs_out() {
    local query="copy (select id, customer, total, note, pg_sleep(0.01) from orders order by id) to stdout"
    local report=$FOLDER/report left last before=0 rows held=1 seen
    step "The $GRANT_SECONDS-second grant ends within a long query" "${GRANT_SECONDS} s grant ends"
    typed agency psql -h "$DB_IP" shop -c '"copy (select ... from orders) to stdout"'
    say "The query is slow on purpose. The grant has $(in_words $((GRANT_ENDS - $(now_us)))) left."
    : >"$report"
    noted "$FOLDER/report.end" ask "$query" >>"$report" 2>"$FOLDER/report.log" &
    # Five seconds of grace, so that a connection that only stalls is seen as such.
    until [ -e "$FOLDER/report.end" ] || (((left = (GRANT_ENDS - $(now_us)) / 1000) < -5000)); do
        if ((left < 3000 && before == 0)); then before=$(wc -l <"$report"); fi
        ticking "$(wc -l <"$report") orders read; the grant has $((left > 0 ? left / 1000 : 0)) s left"
        sleep 0.05
    done
    ticked
    last=$(last_write "$report") rows=$(wc -l <"$report")
    sed -n '/./{p;q}' "$FOLDER/report.log" | printed
    if [ -e "$FOLDER/report.end" ]; then
        read_note "$FOLDER/report.end"
        say "$rows of 12000 orders were read; the last came $(in_words $((GRANT_ENDS - last))) before the end."
        # The promise is 1 s. Ending early, or with all orders read, would be something else's doing.
        if ((rows > before && rows < 12000 && ENDED >= GRANT_ENDS && ENDED - GRANT_ENDS < 1000000)); then
            held=0 seen='it died'
        else
            seen='at another time'
        fi
        if wait_for 5 no_session; then
            say 'The database has closed its side of the connection as well.'
        else
            held=1 seen='half of it lives'
        fi
    else
        ENDED=$last seen=$( ((last - GRANT_ENDS < 1000000)) && echo 'it hangs' || echo 'it goes on')
    fi
    verdict $held 'dies within 1 s' "$seen" $((ENDED - GRANT_ENDS))
}

large_enough() { [ "$(stat -c %s "$1" 2>/dev/null || echo 0)" -gt 600000 ]; }

staff_is_offboarded() {
    local file=$FOLDER/customers.csv began late held=1 seen='it goes on'
    step 'Staff is offboarded with a download running' 'staff is offboarded'
    typed support curl -O "$PANEL/customers.csv" '   # 64 MB, slowly'
    noted "$FOLDER/download.end" on support curl -sS --cacert "$FOLDER/panel/cert.pem" -N -o "$file" \
        "$PANEL/customers.csv" 2>"$FOLDER/download.log" &
    wait_for 15 large_enough "$file" || die 'the download did not start' "$FOLDER/download.log"
    began=$(now_us)
    admin person offboard support@shop.example --reason "left the shop"
    printed <"$FOLDER/said"
    if wait_for 3 [ -e "$FOLDER/download.end" ]; then
        read_note "$FOLDER/download.end"
        printed <"$FOLDER/download.log"
        if [ "$CODE" != 0 ] && ((ENDED - began < 1000000)); then held=0 seen='it died'; fi
    else
        ENDED=$(last_write "$file")
        if ((ENDED - began < 1000000)); then seen='it hangs'; fi
    fi
    late=$(($(last_write "$file") - began))
    if ((late > 0)); then
        say "The last byte came $(in_words $late) after Enter was pressed."
    else
        say 'Not one byte came after Enter was pressed.'
    fi
    verdict $held 'dies within 1 s' "$seen" $((ENDED - began))
}

# The alert line that names the person's device, if there is one.
knock() { doorward status 2>/dev/null | grep revoked_key_knocked | grep support@shop.example; }
knocked() { knock >/dev/null; }

old_key_knocks() {
    local began took job held=1 seen='no alert'
    step 'The old key knocks again' 'the old key knocks'
    tunnel_off support "$FOLDER/${TAG}s.conf"
    typed support wg-quick up laptop.conf
    began=$(now_us)
    tunnel_on support "$FOLDER/${TAG}s.conf" || die 'wg-quick failed; it said:' "$FOLDER/support.wg-quick.log"
    on support curl -sS -m 3 -o /dev/null "$PANEL/" >/dev/null 2>&1 &
    job=$!
    if wait_for 10 knocked; then held=0 seen='alert by name'; fi
    took=$(($(now_us) - began))
    typed admin doorward status
    knock | head -n 2 | tr -s ' ' | sed 's/^ //' | printed
    if wait $job; then held=1 seen='it got in'; fi
    verdict $held 'refused, named' "$seen" $took
}

needs() {
    local program
    if [ "$EUID" != 0 ]; then die 'network namespaces need root: run it with sudo'; fi
    if [ ! -x "$BINARY" ]; then die "there is no $BINARY: deploy/quickstart.sh --demo builds it"; fi
    PG_BIN=$(find /usr/lib/postgresql -maxdepth 3 -name initdb -printf '%h\n' 2>/dev/null | sort -V | tail -n 1)
    for program in nginx wg wg-quick wireguard-go nft conntrack ip curl openssl setpriv "${PG_BIN:-/}/initdb"; do
        command -v "$program" >/dev/null || die "${program##*/} is missing: deploy/quickstart.sh --demo installs it"
    done
    if [ ! -c /dev/net/tun ]; then die 'this machine has no /dev/net/tun: load the module tun'; fi
}

main() {
    needs
    trap clean_up EXIT
    trap 'ticked; echo; echo "Interrupted: cleaning up."; exit 130' INT TERM HUP
    cat <<PICTURE

${BOLD}Doorward: who may come in, for how long, and who has to go${PLAIN}

   support laptop --+                                      +-- admin panel
                    +-- cafe (NAT) -- internet -- GATEWAY --+
   agency laptop  --+                                      +-- customer database

PICTURE
    say "All of this is made of network namespaces on this machine, and goes when" \
        "the demo ends. The panel is a real web server, the database a real" \
        "PostgreSQL, the laptops use the ordinary WireGuard client. It takes less" \
        "than a minute."
    clear_leftovers
    open_folder "$BINARY"
    ticking 'building the two networks, the panel and the database ...'
    lay_cables >"$FOLDER/cables.log" 2>&1 || die 'the networks could not be built:' "$FOLDER/cables.log"
    (open_db) &
    local db=$!
    open_panel || die 'nginx did not start:' "$FOLDER/panel/error.log"
    wait $db || die 'PostgreSQL did not start:' "$FOLDER/postgres.log"
    ticked
    start_doorward
    nobody_without_a_tunnel
    staff_opens_panel
    contractor_asks_db
    contractor_tries_panel
    grant_runs_out
    staff_is_offboarded
    old_key_knocks
    summary
    ((BROKEN == 0))
}

main
