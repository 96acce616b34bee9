#!/usr/bin/env bash
# Installs STORM-Edge as a service on a Jetson: a virtual environment, the systemd unit, a udev rule, a profile.
#
#   sudo jetson/install.sh [--dry-run] [--profile FILE] [--jetpack 6|7] [--venv-only]
#
# Run it again after an update, or after it was interrupted: what is as it should be stays as it is. A profile in
# /etc/storm-edge is never replaced. DESTDIR=FOLDER puts the files into a folder that stands for / and changes nothing
# of the running system; the virtual environment, which cannot be moved, is then made by running this on the board.
# PYTHON names another interpreter, NV_TEGRA_RELEASE and DEVICE_TREE_MODEL other files to know the board by.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(dirname "$here")
# shellcheck source=jetson/common.sh
. "$here/common.sh"

profile=
jetpack=
venv_only=0
usage="install.sh [--dry-run] [--profile FILE] [--jetpack 6|7] [--venv-only]"
while (($#)); do
    case $1 in
    --dry-run) DRY_RUN=1 ;;
    --venv-only) venv_only=1 ;;
    --profile | --jetpack)
        (($# > 1)) || fail "$1: got nothing, expected a value; usage: $usage"
        if [[ $1 == --profile ]]; then profile=$2; else jetpack=$2; fi
        shift
        ;;
    -h | --help)
        say "$usage"
        exit 0
        ;;
    *) fail "$1: got an unknown option, expected one of $usage; leave it out" ;;
    esac
    shift
done

# The JetPack on this board: L4T release 36 is JetPack 6, 38 and 39 are JetPack 7.
find_jetpack() {
    local file=${NV_TEGRA_RELEASE:-$DESTDIR/etc/nv_tegra_release} line release
    if [[ ! -r $file ]]; then
        fail "$file: got no such file, expected a Jetson; give --jetpack 6 or 7, or install with pip elsewhere"
    fi
    IFS= read -r line <"$file" || true
    release=$(sed -nE 's/^# R([0-9]+) .*/\1/p' <<<"$line")
    case $release in
    36) jetpack=6 ;;
    38 | 39) jetpack=7 ;;
    *) fail "$file: got '${line:0:60}', expected L4T R36 (JetPack 6), R38 or R39 (JetPack 7); flash one of these" ;;
    esac
}

# What differs between JetPacks: the interpreter, Warp by the CUDA it was built with, and whose TensorRT is used.
choose_packages() {
    local python_of_jetpack
    case $jetpack in
    6)
        python_of_jetpack=python3.10
        venv_options=(--system-site-packages) # TensorRT 10.3 is JetPack's package python3-libnvinfer
        packages=("warp-lang==1.16.*")        # built with CUDA 12; newer ones need JetPack 7's driver
        ;;
    7)
        python_of_jetpack=python3.12
        venv_options=()
        packages=("warp-lang>=1.17" "tensorrt-cu13==10.16.*") # JetPack 7.2 has TensorRT 10.16
        ;;
    *) fail "--jetpack: got $jetpack, expected 6 or 7; correct it" ;;
    esac
    python=${PYTHON:-$python_of_jetpack}
}

# The profile of this board, unless one was named.
choose_profile() {
    local file=${DEVICE_TREE_MODEL:-$DESTDIR/proc/device-tree/model} model=
    if [[ -n $profile ]]; then
        [[ -r $profile ]] || fail "$profile: got no such file, expected a machine profile; check the path"
        return
    fi
    [[ -r $file ]] && model=$(tr -d '\0' <"$file")
    case $model in
    *"AGX Orin"*) profile=$checkout/runtime/agx-orin.yaml ;;
    *"Orin NX"*) profile=$checkout/runtime/orin-nx-16gb.yaml ;;
    *"Orin Nano"*) profile=$checkout/runtime/orin-nano-8gb.yaml ;;
    *) fail "$file: got board '${model:-unknown}', expected AGX Orin, Orin NX or Orin Nano; give --profile FILE" ;;
    esac
}

# What an earlier run wrote, by path; and what this one does, for the next.
declare -A known=()
listed=()
if [[ -f $DESTDIR$MANIFEST ]]; then
    while IFS= read -r line; do known[${line#*  }]=${line%%  *}; done <"$DESTDIR$MANIFEST"
fi

# Whoever changed a file of ours, or had one of that name, finds it beside the new one.
keep_changed() {
    local target=$DESTDIR$1
    [[ -e $target || -L $target ]] || return 0
    if [[ -f $target && ! -L $target && $(sum_of "$target") == "${known[$1]:-}" ]]; then return; fi
    change mv -f "$target" "$target.kept"
    say "kept: $target as $target.kept, since it was not as installed"
}

# Put a text into a file, unless it is there already: put_text PATH MODE <TEXT
put_text() {
    local target=$DESTDIR$1 mode=$2 text
    text=$(cat && printf x) # command substitution would take the last newlines
    text=${text%x}
    listed+=("$(printf '%s' "$text" | sha256sum | cut -d' ' -f1)  $1")
    if [[ -f $target && ! -L $target ]] && printf '%s' "$text" | cmp -s - "$target"; then
        [[ $(stat -c %a "$target") == "$mode" ]] || change chmod "$mode" "$target"
        return
    fi
    keep_changed "$1"
    if ((DRY_RUN)); then
        say "would write: $target"
        return
    fi
    mkdir -p "$(dirname "$target")"
    printf '%s' "$text" >"$target.new"
    chmod "$mode" "$target.new"
    mv -f "$target.new" "$target"
    say "wrote $target"
}

put_file() { put_text "$2" "$3" <"$1"; }

put_manifest() {
    local target=$DESTDIR$MANIFEST
    if ((DRY_RUN)); then
        say "would write: $target"
        return
    fi
    printf '%s\n' "${listed[@]}" >"$target.new"
    mv -f "$target.new" "$target"
}

put_link() {
    local target=$DESTDIR$2
    listed+=("link  $2")
    [[ -L $target && $(readlink "$target") == "$1" ]] && return
    [[ ! -e $target || -L $target ]] || fail "$target: got a file that is not ours, expected none; move it away"
    change mkdir -p "$(dirname "$target")"
    change ln -sfn "$1" "$target"
}

# The user's own settings: written once. Bundles and engines lie where the service may read them.
put_profile() {
    local target=$DESTDIR$SETTINGS/profile.yaml
    [[ -e $target ]] && return
    if ((DRY_RUN)); then
        say "would write: $target, from $profile"
        return
    fi
    mkdir -p "$DESTDIR$SETTINGS"
    sed "s#\.\./engines#$STATE/engines#g" "$profile" >"$target.new"
    chmod 644 "$target.new"
    mv "$target.new" "$target"
    say "wrote $target; it is yours to change"
}

requirements() {
    printf '# What install.sh chose for JetPack %s.\n' "$jetpack"
    printf '%s\n' "${packages[@]}"
}

# The environment, made anew where Python, packages or the sources changed.
make_venv() {
    local venv=$PREFIX/venv wanted
    wanted=$(
        {
            "$python" --version
            printf '%s\n' "${venv_options[@]}"
            requirements
            sha256sum "$checkout/pyproject.toml"
            find "$checkout/storm_edge" -type f ! -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum
        } | sed "s# $checkout/# #" | sha256sum | cut -d' ' -f1
    )
    if [[ -f $venv/storm-edge-made-of && $(<"$venv/storm-edge-made-of") == "$wanted" ]]; then
        return
    fi
    change "$python" -m venv --clear "${venv_options[@]}" "$venv"
    change "$venv/bin/python" -m pip install --quiet --requirement "$PREFIX/requirements.txt" \
        "${checkout}[robot,realsense]"
    ((DRY_RUN)) || printf '%s\n' "$wanted" >"$venv/storm-edge-made-of"
}

make_user() {
    id -u "$SERVICE_USER" >/dev/null 2>&1 ||
        change useradd --system --home-dir "$STATE" --no-create-home --shell /usr/sbin/nologin "$SERVICE_USER"
    local group groups=
    for group in video render plugdev; do
        if getent group "$group" >/dev/null; then groups+=${groups:+,}$group; fi
    done
    [[ -z $groups ]] || change usermod --append --groups "$groups" "$SERVICE_USER"
}

[[ -n $jetpack ]] || find_jetpack
choose_packages
require_root
if is_live && ! command -v "$python" >/dev/null; then
    fail "$python: got no such command, expected the Python of JetPack $jetpack; name another by PYTHON"
fi
if ((!venv_only)); then choose_profile; fi

put_text "$PREFIX/requirements.txt" 644 < <(requirements)
if ((!venv_only)); then
    for file in "$checkout"/runtime/*.yaml; do
        put_file "$file" "$PREFIX/profiles/$(basename "$file")" 644
    done
    put_file "$here/storm-edge.service" "$UNIT_FOLDER/storm-edge.service" 644
    for file in "$here"/storm-edge.service.d/*.conf; do
        [[ -e $file ]] && put_file "$file" "$UNIT_FOLDER/storm-edge.service.d/$(basename "$file")" 644
    done
    put_file "$here/99-storm-edge-realsense.rules" "$UDEV_RULE" 644
    put_file "$here/power-mode.sh" "$POWER_MODE" 755
fi
put_link "$PREFIX/venv/bin/storm-edge" "$BIN"
if ((!venv_only)); then put_profile; fi
put_manifest

if is_live; then
    make_venv
    if ((!venv_only)); then
        make_user
        change udevadm control --reload-rules
        change udevadm trigger --subsystem-match=usb
        change systemctl daemon-reload
        ((DRY_RUN)) && exit 0
        say "installed for JetPack $jetpack; name your objects in $SETTINGS/profile.yaml, then start it by"
        say "    systemctl enable --now storm-edge"
    fi
else
    say "files for JetPack $jetpack are in $DESTDIR; run install.sh on the board for the rest"
fi
