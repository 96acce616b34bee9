"""The systemd unit: right to the letter, and run by a real systemd in namespaces of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from storm_edge.objects.onboard import onboard
from tests.jetson.private_systemd import LOG, PrivateSystemd, private_systemd, why_not
from tests.service.conftest import PROFILE
from tests.tiny_scene import MODEL, write_tiny_scene

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "jetson" / "storm-edge.service"
DROP_INS = ROOT / "jetson" / "storm-edge.service.d"
MOST_EXPOSED = 2.5

_WHY_NOT = why_not()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The unit with a command that is there: the one that it names is on boards alone."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / "storm-edge.service"
    path.write_text(re.sub(r"(?m)^ExecStart=.*", "ExecStart=/bin/true", UNIT.read_text()))
    shutil.copytree(DROP_INS, tmp_path / "storm-edge.service.d")
    return path


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60.0)


def test_systemd_finds_nothing_wrong_with_the_unit(copied: Path) -> None:
    done = analyze("verify", "--man=no", copied)
    assert (done.returncode, done.stderr) == (0, "")
    copied.write_text(copied.read_text() + "NoNewPrivilege=yes\n")  # it exits with 0 all the same
    assert "NoNewPrivilege" in analyze("verify", "--man=no", copied).stderr


def test_the_service_is_little_exposed(copied: Path) -> None:
    version = int(analyze("--version").stdout.split()[1])
    if version < 250:
        pytest.skip(f"systemd {version} rates only units that are installed")
    done = analyze("security", "--offline=yes", f"--threshold={MOST_EXPOSED * 10:.0f}", copied)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found.group(1)) <= MOST_EXPOSED
    assert done.returncode == 0


def test_what_must_stay_off_is_off() -> None:
    """Kernels are compiled while it runs, and /proc/meminfo is read."""
    settings = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if re.match(r"[A-Z]\w+=", line))
    assert "MemoryDenyWriteExecute" not in settings
    assert "ProcSubset" not in settings
    assert settings["Type"] == "notify"


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The unit as it is, quicker for the test, and a target that wants nothing else."""
    folder = tmp_path / "units"
    shutil.copytree(DROP_INS, folder / "storm-edge.service.d")
    shutil.copy(UNIT, folder)
    # Named there, the unit is remembered after it has ended.
    (folder / "trial.target").write_text("[Unit]\nDescription=Trial\nAfter=storm-edge.service\n")
    # Not quicker than a busy machine can be: a stop of two seconds is measured elsewhere.
    quicker = "[Unit]\nDefaultDependencies=no\n[Service]\nWatchdogSec=4\nTimeoutAbortSec=1\nRestartSec=100ms\n"
    quicker += "TimeoutStopSec=60\n"
    quicker += f"StandardError=append:{LOG}\n"
    (folder / "storm-edge.service.d" / "test.conf").write_text(quicker)
    return folder


def profile(objects: list[dict[str, str]]) -> str:
    source = {"kind": "recording", "path": "scene", "play": "back-and-forth"}
    sinks = [{"kind": "json_lines", "path": "poses.jsonl"}]
    content: dict[str, Any] = PROFILE | {"search": "beside", "source": source, "objects": objects, "sinks": sinks}
    return yaml.safe_dump(content)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """What a board has: the command, a profile, a recording with its object, kernels that were compiled before."""
    import warp

    from storm_edge.kernels.device import compile_kernels

    compile_kernels("cpu")
    root = tmp_path / "installed"
    settings, program = root / "etc" / "storm-edge", root / "opt" / "storm-edge" / "venv" / "bin" / "storm-edge"
    settings.mkdir(parents=True)
    scene = write_tiny_scene(settings / "scene", frame_count=6)
    onboard(scene / MODEL, "mm", view_subdivisions=1).save(settings / "box")
    (settings / "profile.yaml").write_text(profile([]))
    program.parent.mkdir(parents=True)
    python = Path(sys.executable).resolve().name
    program.write_text(
        "#!/bin/sh\n"
        "export PYTHONHOME=/opt/base LD_LIBRARY_PATH=/opt/base/lib PYTHONPATH=/opt/checkout:/opt/site\n"
        "export PYTHONDONTWRITEBYTECODE=1\n"
        f'exec /opt/base/bin/{python} -m storm_edge "$@"\n'
    )
    program.chmod(0o755)
    compiled = Path(warp.config.kernel_cache_dir)
    shutil.copytree(compiled, root / "var" / "cache" / "storm-edge" / "warp" / compiled.name)
    return root


@pytest.mark.slow
@pytest.mark.skipif(_WHY_NOT is not None, reason=f"no systemd of our own: {_WHY_NOT}")
def test_systemd_starts_reloads_watches_restarts_and_stops_it(tmp_path: Path, units: Path, installed: Path) -> None:
    binds = {
        Path(sys.base_prefix): "/opt/base",
        Path(sysconfig.get_path("purelib")): "/opt/site",
        ROOT: "/opt/checkout",
    }
    with private_systemd(tmp_path, units, binds=binds, extra=installed) as systemd:
        systemd.run("systemctl", "start", "storm-edge")  # comes back when it is ready
        assert systemd.show("ActiveState") == "active"
        systemd.wait_for("StatusText", "running: no objects; ")
        assert "source running (recording scene)" in systemd.show("StatusText")
        check_sandbox(systemd)
        reload_with_an_object(systemd)

        first = systemd.show("MainPID")
        systemd.run("kill", "-STOP", first)  # a loop that hangs
        systemd.wait_for("NRestarts", "1")
        systemd.wait_for("ActiveState", "active")

        second = systemd.show("MainPID")
        assert second != first
        systemd.run("kill", "-KILL", second)
        systemd.wait_for("NRestarts", "2")
        systemd.wait_for("ActiveState", "active")
        systemd.wait_for("StatusText", "running: box ")

        systemd.run("systemctl", "stop", "storm-edge")
        ended = {name: systemd.show(name) for name in ("ActiveState", "Result", "ExecMainStatus", "ExecMainCode")}
        assert ended == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0", "ExecMainCode": "1"}
        lines = systemd.run("sh", "-c", "wc -l < /var/lib/storm-edge/poses.jsonl")
        assert int(lines) > 0


def check_sandbox(systemd: PrivateSystemd) -> None:
    """As the kernel has it: what the process may do, and what it sees of the disk."""
    pid = systemd.show("MainPID")
    status = dict(
        line.split(":\t", 1) for line in systemd.run("cat", f"/proc/{pid}/status").splitlines() if ":\t" in line
    )
    assert status["Uid"].split() == ["64001"] * 4
    assert (status["NoNewPrivs"], status["Seccomp"], int(status["CapBnd"], 16)) == ("1", "2", 0)
    inside = ["nsenter", "--target", pid, "--mount"]
    for place in ("/usr", "/etc", "/opt/checkout", "/var/lib"):  # read-only, even for root
        said = systemd.run(*inside, "sh", "-c", f"touch {place}/storm-edge-trial 2>&1", check=False)
        assert "Read-only file system" in said, place
    assert systemd.run(*inside, "ls", "-A", "/home", "/root", check=False).split() == ["/home:", "/root:"]
    owners = systemd.run("stat", "-c", "%U %a", "/var/lib/storm-edge", "/var/cache/storm-edge", "/run/storm-edge")
    assert owners.splitlines() == ["storm-edge 750"] * 3


def reload_with_an_object(systemd: PrivateSystemd) -> None:
    """An object is added to the profile, and the process goes on."""
    before = systemd.show("MainPID")
    content = profile([{"path": "box", "name": "box"}])
    systemd.run("sh", "-c", f"cat > /etc/storm-edge/profile.yaml <<'END'\n{content}\nEND\n")
    systemd.run("systemctl", "reload", "storm-edge")
    systemd.wait_for("StatusText", "running: box ")
    assert systemd.show("MainPID") == before
    assert systemd.show("NRestarts") == "0"
