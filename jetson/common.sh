# What install.sh and uninstall.sh share: where things go, and how a change is made or only told. Sourced, never run.
# shellcheck shell=bash disable=SC2034

PREFIX=/opt/storm-edge
DESTDIR=${DESTDIR:-}
DESTDIR=${DESTDIR%/}
DRY_RUN=0

BIN=/usr/local/bin/storm-edge
POWER_MODE=/usr/local/sbin/storm-edge-power-mode
UNIT_FOLDER=/usr/local/lib/systemd/system
UDEV_RULE=/etc/udev/rules.d/99-storm-edge-realsense.rules
SETTINGS=/etc/storm-edge
STATE=/var/lib/storm-edge
CACHE=/var/cache/storm-edge
MANIFEST=$PREFIX/installed-files
SERVICE_USER=storm-edge

say() { printf '%s\n' "$*"; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Run a command, or only say it.
change() {
    if ((DRY_RUN)); then
        say "would run: $*"
    else
        "$@"
    fi
}

# Whether this changes the running system, and not a folder that stands for one.
is_live() { [[ -z $DESTDIR ]]; }

require_root() {
    if is_live && ((!DRY_RUN)) && ((EUID != 0)); then
        fail "this changes the system: got user $(id -un), expected root; use sudo, or set DESTDIR"
    fi
}

sum_of() { sha256sum <"$1" | cut -d' ' -f1; }
