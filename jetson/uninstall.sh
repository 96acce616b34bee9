#!/usr/bin/env bash
# Removes what install.sh installed, and nothing else.
#
#   sudo jetson/uninstall.sh [--dry-run] [--purge]
#
# Files that were changed since are kept and named. The profile, recorded losses and caches are kept, too, unless
# --purge is given. DESTDIR=FOLDER works on a folder that stands for /.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=jetson/common.sh
. "$here/common.sh"

purge=0
usage="uninstall.sh [--dry-run] [--purge]"
while (($#)); do
    case $1 in
    --dry-run) DRY_RUN=1 ;;
    --purge) purge=1 ;;
    -h | --help)
        say "$usage"
        exit 0
        ;;
    *) fail "$1: got an unknown option, expected one of $usage; leave it out" ;;
    esac
    shift
done

# Whether it is a link that still leads to our environment, or a file with the sum that install.sh wrote down.
is_as_installed() {
    local sum=$1 target=$2
    if [[ $sum == link ]]; then
        [[ -L $target && $(readlink "$target") == "$PREFIX"/* ]]
    else
        [[ -f $target && ! -L $target && $(sum_of "$target") == "$sum" ]]
    fi
}

remove_listed() {
    local manifest=$DESTDIR$MANIFEST sum path target
    if [[ ! -f $manifest ]]; then
        say "$manifest: not there, so nothing is known to be installed"
        return
    fi
    while IFS= read -r line; do
        sum=${line%%  *}
        path=${line#*  }
        target=$DESTDIR$path
        [[ -e $target || -L $target ]] || continue
        if is_as_installed "$sum" "$target"; then
            change rm -f -- "$target"
        else
            say "kept: $target was changed since it was installed"
        fi
    done <"$manifest"
    change rm -f -- "$manifest"
}

remove_empty() {
    local folder
    for folder in "$@"; do
        [[ ! -d $DESTDIR$folder ]] || change rmdir --ignore-fail-on-non-empty "$DESTDIR$folder"
    done
}

require_root
if is_live && command -v systemctl >/dev/null; then
    change systemctl disable --now storm-edge.service || true # it may never have been enabled
fi
remove_listed
if [[ -f $DESTDIR$PREFIX/venv/storm-edge-made-of ]]; then
    change rm -rf -- "$DESTDIR$PREFIX/venv"
fi
remove_empty "$PREFIX/profiles" "$PREFIX" "$UNIT_FOLDER/storm-edge.service.d"
if ((purge)); then
    change rm -rf -- "$DESTDIR$SETTINGS" "$DESTDIR$STATE" "$DESTDIR$CACHE"
else
    for folder in "$SETTINGS" "$STATE"; do
        [[ ! -d $DESTDIR$folder ]] || say "kept: $DESTDIR$folder (--purge removes it)"
    done
fi
if is_live; then
    command -v systemctl >/dev/null && change systemctl daemon-reload
    command -v udevadm >/dev/null && change udevadm control --reload-rules
    if ((purge)) && id -u "$SERVICE_USER" >/dev/null 2>&1; then
        change userdel "$SERVICE_USER"
    fi
fi
exit 0
