#!/usr/bin/env bash
# Installs packages with apt without the services that some of them start and switch on.
#
#   apt-without-services.sh PACKAGE...     as root
#
# Debian's way to forbid it is /usr/sbin/policy-rc.d, which is made here and removed again; one that is there already
# is hidden in a mount namespace instead. PostgreSQL's package makes no cluster, and units that were not switched on
# before are switched off.
set -euo pipefail

POLICY=/usr/sbin/policy-rc.d
CLUSTERS=/etc/postgresql-common/createcluster.d/doorward-demo.conf
WANTS=/etc/systemd/system/multi-user.target.wants

if [ -e "$POLICY" ] && [ "${POLICY_HIDDEN:-}" != yes ]; then
    exec env POLICY_HIDDEN=yes unshare --mount "$0" "$@"
fi

folder=$(mktemp -d)
made=("$CLUSTERS")
tidy() {
    rm -f "${made[@]}"
    rm -rf "$folder"
}
trap tidy EXIT
trap 'exit 130' INT TERM HUP

printf '#!/bin/sh\nexit 101\n' >"$folder/policy-rc.d"
chmod 0755 "$folder/policy-rc.d"
if [ "${POLICY_HIDDEN:-}" = yes ]; then
    mount --bind "$folder/policy-rc.d" "$POLICY"
else
    made+=("$POLICY")
    install -m 0755 "$folder/policy-rc.d" "$POLICY"
fi
install -d -m 0755 "${CLUSTERS%/*}"
echo 'create_main_cluster = false' >"$CLUSTERS"

is_wanted() { [ -L "$WANTS/$1" ]; }
switched_off=()
for unit in nginx.service postgresql.service; do
    if ! is_wanted $unit; then switched_off+=("$unit"); fi
done
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
for unit in "${switched_off[@]}"; do
    if is_wanted "$unit"; then systemctl disable --quiet "$unit" || rm -f "$WANTS/$unit"; fi
done
