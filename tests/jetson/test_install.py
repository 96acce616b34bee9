"""`jetson/install.sh` and `uninstall.sh`, on a folder that stands for a board's root."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.decision_numbers import ROOT

JETSON = ROOT / "jetson"
RELEASES = {
    6: "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 2025",
    7: "# R39 (release), REVISION: 2.0, GCID: 41000000, BOARD: generic, EABI: aarch64, DATE: Mon Jun  1 2026",
}
BOARD = "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


def board(root: Path, jetpack: int = 6, model: str = BOARD) -> Path:
    """The two files that a board is known by."""
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "nv_tegra_release").write_text(RELEASES[jetpack] + "\n")
    (root / "proc" / "device-tree").mkdir(parents=True)
    (root / "proc" / "device-tree" / "model").write_text(model + "\0")
    return root


def run(script: str, root: Path | None, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables, "LC_ALL": "C"}
    environment.pop("DESTDIR", None)
    if root is not None:
        environment["DESTDIR"] = str(root)
    command = [str(JETSON / script), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def files(root: Path) -> dict[str, tuple[str, int]]:
    """What each file or link holds, and its mode."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(root))] = (os.readlink(path), 0)
        elif path.is_file():
            found[str(path.relative_to(root))] = (path.read_text(), path.stat().st_mode & 0o777)
    return found


@pytest.mark.parametrize("jetpack", [6, 7])
def test_a_second_run_changes_nothing(tmp_path: Path, jetpack: int) -> None:
    root = board(tmp_path / "root", jetpack)
    first = run("install.sh", root)
    assert (first.returncode, first.stderr) == (0, "")
    before = files(root)
    second = run("install.sh", root)
    assert (second.returncode, second.stderr) == (0, "")
    assert "wrote" not in second.stdout
    assert files(root) == before
    assert {
        "etc/storm-edge/profile.yaml",
        "etc/udev/rules.d/99-storm-edge-realsense.rules",
        "usr/local/bin/storm-edge",
        "usr/local/lib/systemd/system/storm-edge.service",
        "usr/local/sbin/storm-edge-power-mode",
    } < set(before)
    requirements = before["opt/storm-edge/requirements.txt"][0]
    assert ("warp-lang==1.16.*" in requirements) == (jetpack == 6)
    assert ("tensorrt-cu13==10.16.*" in requirements) == (jetpack == 7)


@pytest.mark.parametrize("jetpack", [6, 7])
def test_the_environment_sees_the_packages_of_jetpack_6_alone(tmp_path: Path, jetpack: int) -> None:
    root = board(tmp_path / "root", jetpack)
    known_by = {
        "NV_TEGRA_RELEASE": str(root / "etc" / "nv_tegra_release"),
        "DEVICE_TREE_MODEL": str(root / "proc" / "device-tree" / "model"),
        "PYTHON": "python3",
    }
    ended = run("install.sh", None, "--dry-run", **known_by)
    assert (ended.returncode, ended.stderr) == (0, "")
    (made,) = [line for line in ended.stdout.splitlines() if "-m venv" in line]
    assert ("--system-site-packages" in made) == (jetpack == 6)
    assert all(line.startswith(("would", "kept")) for line in ended.stdout.splitlines())


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    root = board(tmp_path / "root")
    before = files(root)
    ended = run("install.sh", root, "--dry-run")
    assert ended.returncode == 0
    assert "would write" in ended.stdout
    assert files(root) == before
    run("install.sh", root)
    before = files(root)
    assert run("uninstall.sh", root, "--dry-run", "--purge").returncode == 0
    assert files(root) == before


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (BOARD, "orin-nano-8gb"),
        ("NVIDIA Jetson AGX Orin Developer Kit", "agx-orin"),
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", "orin-nx-16gb"),
    ],
)
def test_the_profile_is_that_of_the_board_and_is_never_replaced(tmp_path: Path, model: str, name: str) -> None:
    root = board(tmp_path / "root", model=model)
    assert run("install.sh", root).returncode == 0
    profile = root / "etc" / "storm-edge" / "profile.yaml"
    assert f"machine: {name}" in profile.read_text()
    assert "/var/lib/storm-edge/engines" in profile.read_text()
    profile.write_text("mine\n")
    assert run("install.sh", root).returncode == 0
    assert profile.read_text() == "mine\n"


def test_what_somebody_changed_is_kept_beside_the_new_file_and_by_uninstall(tmp_path: Path) -> None:
    root = board(tmp_path / "root")
    run("install.sh", root)
    unit = root / "usr/local/lib/systemd/system/storm-edge.service"
    unit.write_text("mine\n")
    ended = run("install.sh", root)
    assert "kept" in ended.stdout
    assert unit.with_name("storm-edge.service.kept").read_text() == "mine\n"
    assert unit.read_text() != "mine\n"
    unit.write_text("mine again\n")
    ended = run("uninstall.sh", root)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert unit.read_text() == "mine again\n"


def test_uninstall_leaves_the_board_and_the_settings(tmp_path: Path) -> None:
    root = board(tmp_path / "root")
    before = files(root)
    run("install.sh", root)
    assert run("uninstall.sh", root).returncode == 0
    profile = "etc/storm-edge/profile.yaml"
    assert set(files(root)) == {*before, profile}
    assert not (root / "opt" / "storm-edge").exists()
    assert run("uninstall.sh", root).returncode == 0
    assert run("uninstall.sh", root, "--purge").returncode == 0
    assert files(root) == before


@pytest.mark.parametrize(
    ("release", "options", "said"),
    [
        (None, [], "expected a Jetson"),
        ("# R35 (release), REVISION: 4.1, GCID: 1", [], "expected L4T R36"),
        ("nonsense", [], "expected L4T R36"),
        (RELEASES[6], ["--jetpack", "5"], "expected 6 or 7"),
        (RELEASES[6], ["--jetpack"], "expected a value"),
        (RELEASES[6], ["--profile", "/none.yaml"], "no such file"),
        (RELEASES[6], ["--fast"], "unknown option"),
    ],
)
def test_what_it_cannot_work_with_is_one_line_and_changes_nothing(
    tmp_path: Path, release: str | None, options: list[str], said: str
) -> None:
    root = board(tmp_path / "root")
    if release is None:
        (root / "etc" / "nv_tegra_release").unlink()
    else:
        (root / "etc" / "nv_tegra_release").write_text(release)
    before = files(root)
    ended = run("install.sh", root, *options)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert said in ended.stderr
    assert files(root) == before


def test_a_board_that_is_not_known_needs_a_profile(tmp_path: Path) -> None:
    root = board(tmp_path / "root", model="NVIDIA Jetson AGX Thor Developer Kit")
    ended = run("install.sh", root)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "give --profile" in ended.stderr
    assert run("install.sh", root, "--profile", str(ROOT / "runtime" / "cpu.yaml")).returncode == 0


def test_a_power_mode_is_shown_and_set(tmp_path: Path) -> None:
    conf = tmp_path / "nvpmodel.conf"
    conf.write_text("< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE 1\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n")
    known_by = {"NVPMODEL_CONF": str(conf)}
    ended = run("power-mode.sh", None, "show", **known_by)
    assert ended.stdout.splitlines()[:2] == ["0 15W", "2 MAXN_SUPER"]
    ended = run("power-mode.sh", None, "--dry-run", "max", **known_by)
    assert ended.stdout.splitlines() == ["would run: nvpmodel -m 2", "would run: jetson_clocks"]
    assert run("power-mode.sh", None, "--dry-run", "15W", **known_by).stdout == "would run: nvpmodel -m 0\n"
    ended = run("power-mode.sh", None, "--dry-run", "40W", **known_by)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "0 15W,2 MAXN_SUPER" in ended.stderr


def test_the_scripts_are_clean() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck here")
    scripts = sorted(str(path) for path in JETSON.glob("*.sh"))
    ended = subprocess.run(["shellcheck", "-x", *scripts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")
