"""systemd as PID 1 of namespaces of its own: a real one, on a machine whose own systemd is left alone.

A sub-cgroup, then namespaces of processes, mounts, names, network and cgroups; in them an overlay over the machine's
root that is gone afterwards, `pivot_root` into it, and systemd with one target. Needs root, namespaces, overlayfs and
cgroup v2; `why_not` says what is missing.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SYSTEMD = Path("/lib/systemd/systemd")
LONG_S = 120.0
LOG = "/run/units.log"
"""Where units may say what is shown when a test fails."""

_SCRIPT = r"""
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$STAGE"
mkdir "$STAGE/upper" "$STAGE/work" "$STAGE/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$STAGE/upper,workdir=$STAGE/work" "$STAGE/root"
R=$STAGE/root
mount -t proc proc "$R/proc"
mount -t sysfs sysfs "$R/sys"
mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$R/run"
mount -t tmpfs -o mode=1777 tmpfs "$R/tmp"
mount -t tmpfs -o mode=755 tmpfs "$R/dev"
mkdir "$R/dev/shm" "$R/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$R/dev/shm"
mknod -m 666 "$R/dev/null" c 1 3; mknod -m 666 "$R/dev/zero" c 1 5; mknod -m 666 "$R/dev/full" c 1 7
mknod -m 666 "$R/dev/random" c 1 8; mknod -m 666 "$R/dev/urandom" c 1 9; mknod -m 666 "$R/dev/tty" c 5 0
ln -s /proc/self/fd "$R/dev/fd"
printf '%s\n' "$BINDS" | while IFS='|' read -r from to; do
    [ -n "$from" ] || continue
    mkdir -p "$R$to"
    mount --rbind "$from" "$R$to"
done
if [ -n "$EXTRA" ]; then cp -a "$EXTRA/." "$R/"; fi
grep -q '^storm-edge:' "$R/etc/group" || echo 'storm-edge:x:64001:' >> "$R/etc/group"
grep -q '^storm-edge:' "$R/etc/passwd" ||
    echo 'storm-edge:x:64001:64001::/var/lib/storm-edge:/usr/sbin/nologin' >> "$R/etc/passwd"
rm -rf "$R/etc/systemd/system" "$R/var/lib/storm-edge" "$R/run/systemd"
mkdir -p "$R/etc/systemd/system" "$R/old"
cp -a "$UNITS/." "$R/etc/systemd/system/"
ip link set lo up 2>/dev/null || true
cd "$R"
pivot_root . old
umount -l /old
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=storm-edge-test "$SYSTEMD" --unit=trial.target \
    --show-status=no
"""


def cgroup2() -> Path | None:
    """Where cgroup v2 is mounted; None if it is not."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return Path(before.split()[4])
    return None


def why_not() -> str | None:
    """Why there can be no systemd of our own here; None if there can."""
    if not SYSTEMD.exists() or shutil.which("systemctl") is None:
        return "systemd is not installed"
    if os.geteuid() != 0:
        return "namespaces for a systemd need root"
    if cgroup2() is None:
        return "cgroup v2 is not mounted"
    for tool in ("unshare", "nsenter", "pivot_root"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    trial = "mkdir -p $1/a $1/b; mount -t tmpfs t $1/a; mkdir $1/a/u $1/a/w; " + (
        "mount -t overlay o -o lowerdir=/,upperdir=$1/a/u,workdir=$1/a/w $1/b; mount -t cgroup2 c $1/b/mnt"
    )
    with _folder() as folder:
        namespaces = ["--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup"]
        command = ["unshare", *namespaces, "sh", "-ec", trial, "sh", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"no namespaces: {done.stderr.strip()[:200]}"


class PrivateSystemd:
    """A running systemd.

    Args:
        pid: Its process, as this namespace counts.
        log: What came before it.
    """

    def __init__(self, pid: int, log: Path) -> None:
        self._pid, self._log = pid, log

    @property
    def log(self) -> str:
        inside = ["nsenter", "--target", str(self._pid), "--all", "cat", LOG]
        done = subprocess.run(inside, capture_output=True, text=True, check=False, timeout=LONG_S)
        return self._log.read_text(errors="replace") + done.stdout

    def run(self, *command: str, check: bool = True) -> str:
        """What a command inside says."""
        inside = ["nsenter", "--target", str(self._pid), "--all", *command]
        done = subprocess.run(inside, capture_output=True, text=True, check=False, timeout=LONG_S)
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}\n{self.log[-4000:]}"
        return done.stdout

    def show(self, name: str, unit: str = "storm-edge.service") -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", "--property", name, unit).strip()

    def wait_for(self, name: str, value: str, unit: str = "storm-edge.service") -> None:
        """Until a property has a value, or begins with it."""
        until_s = time.monotonic() + LONG_S
        while not self.show(name, unit).startswith(value):
            said = f"{name} is {self.show(name, unit)}, not {value}\n{self.log[-4000:]}"
            assert time.monotonic() < until_s, said
            time.sleep(0.05)


@contextmanager
def private_systemd(
    folder: Path, units: Path, *, binds: Mapping[Path, str] | None = None, extra: Path | None = None
) -> Iterator[PrivateSystemd]:
    """A systemd with the units of a folder, which has a `trial.target`.

    Args:
        folder: For its log.
        units: What is in `/etc/systemd/system`.
        binds: Folders of the machine and where they are inside.
        extra: A tree that is copied over the root.
    """
    mounted = cgroup2()
    assert mounted is not None
    own = mounted / f"storm-edge-test-{os.getpid()}"
    own.mkdir(exist_ok=True)
    stage = folder / "stage"
    stage.mkdir()
    log = folder / "systemd.log"
    environment = {
        "PATH": os.environ["PATH"],
        "STAGE": str(stage),
        "UNITS": str(units),
        "EXTRA": "" if extra is None else str(extra),
        "BINDS": "\n".join(f"{source}|{target}" for source, target in (binds or {}).items()),
        "SYSTEMD": str(SYSTEMD),
    }
    namespaces = ["--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup"]
    enter = f'echo $$ > {own}/cgroup.procs; exec unshare --fork {" ".join(namespaces)} --kill-child bash -c "$0"'
    with log.open("w") as out:
        outer = subprocess.Popen(
            ["bash", "-c", enter, _SCRIPT], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment
        )
    try:
        pid = _child_of(outer)
        made = PrivateSystemd(pid, log)
        until_s = time.monotonic() + LONG_S
        while "active" not in made.run("systemctl", "is-active", "trial.target", check=False).split():
            assert outer.poll() is None, f"systemd has ended:\n{made.log}"
            assert time.monotonic() < until_s, f"systemd does not come up:\n{made.log}"
            time.sleep(0.05)
        yield made
    finally:
        outer.send_signal(signal.SIGKILL)  # which kills its child, and so all of the namespace
        outer.wait()
        _remove(own)


def _child_of(process: subprocess.Popen[bytes]) -> int:
    """The first process of the namespaces."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until_s = time.monotonic() + LONG_S
    while time.monotonic() < until_s:
        assert process.poll() is None, "it has ended"
        found = children.read_text().split()
        if found and os.readlink(f"/proc/{found[0]}/ns/pid") != os.readlink("/proc/self/ns/pid"):
            return int(found[0])
        time.sleep(0.01)
    raise AssertionError("no namespaces")


def _remove(cgroup: Path) -> None:
    """A cgroup and those in it, when their processes have ended."""
    until_s = time.monotonic() + LONG_S
    while time.monotonic() < until_s:
        try:
            for inner in sorted((path for path in cgroup.rglob("*") if path.is_dir()), reverse=True):
                inner.rmdir()
            cgroup.rmdir()
        except OSError:
            time.sleep(0.02)
        else:
            return


@contextmanager
def _folder() -> Iterator[Path]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="storm-edge-") as name:
        yield Path(name)
