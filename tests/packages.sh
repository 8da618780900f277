# shellcheck shell=bash
# Sourced by tests/run.sh, in the repository's folder: says which Debian packages are missing and why, and installs those alone.
#
#   need COMMAND PACKAGE "what for"   notes the package if the command is not there
#   install_missing                   names and installs what was noted; does nothing if nothing was

MISSING_PACKAGES=()
MISSING_REASONS=()

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

have() {
    # Programs of administration live in sbin, which an ordinary user's PATH leaves out.
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1
}

need() {
    if ! have "$1"; then
        MISSING_PACKAGES+=("$2")
        MISSING_REASONS+=("  $2: $3")
    fi
}

need_postgresql() {
    if ! compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; then
        MISSING_PACKAGES+=(postgresql)
        MISSING_REASONS+=("  postgresql: $1")
    fi
}

install_missing() {
    [ "${#MISSING_PACKAGES[@]}" -gt 0 ] || return 0
    echo "Missing on this machine, to be installed with apt-get:"
    printf '%s\n' "${MISSING_REASONS[@]}"
    if ! have apt-get; then
        echo "There is no apt-get here: install these by the means of this system, then run this again." >&2
        return 1
    fi
    as_root apt-get update -qq
    # A test run is no reason to leave servers running on this machine.
    as_root deploy/demo/apt-without-services.sh "${MISSING_PACKAGES[@]}" >/dev/null
    MISSING_PACKAGES=()
    MISSING_REASONS=()
}
