#!/usr/bin/env bash
# Shows or sets the power mode of a Jetson. Latency depends on it more than on anything else; see docs/budgets.md.
#
#   storm-edge-power-mode [show]
#   sudo storm-edge-power-mode [--dry-run] max | MODE
#
# max is the mode of the board whose name begins with MAXN, with clocks held at their highest. MODE is a name or number
# of /etc/nvpmodel.conf. NVPMODEL_CONF names another file.
set -euo pipefail

conf=${NVPMODEL_CONF:-/etc/nvpmodel.conf}
dry_run=0

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

change() {
    if ((dry_run)); then printf 'would run: %s\n' "$*"; else "$@" </dev/null; fi
}

# Numbers and names of the board's modes, a line each.
modes() {
    [[ -r $conf ]] || fail "$conf: got no such file, expected a Jetson's power modes; run this on the board"
    sed -nE 's/^ *< *POWER_MODEL +ID=([0-9]+) +NAME=([^ >]+).*/\1 \2/p' "$conf"
}

if [[ ${1:-} == --dry-run ]]; then
    dry_run=1
    shift
fi
wanted=${1:-show}
(($# <= 1)) || fail "arguments: got $#, expected show, max or a mode; leave the others out"

if [[ $wanted == show ]]; then
    modes
    if command -v nvpmodel >/dev/null; then nvpmodel -q; fi
    exit 0
fi
number=
while read -r id name; do
    if [[ $wanted == max && $name == MAXN* || $wanted == "$id" || $wanted == "$name" ]]; then number=$id; fi
done < <(modes)
[[ -n $number ]] || fail "$wanted: got no such mode, expected one of $(modes | paste -sd, -); name one of these"
((dry_run || EUID == 0)) || fail "this changes the system: got user $(id -un), expected root; use sudo"
change nvpmodel -m "$number"
if [[ $wanted == max ]]; then change jetson_clocks; fi
