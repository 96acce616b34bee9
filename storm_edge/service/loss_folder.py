"""The folder of recorded losses: names, room for the next one, and which are removed for it.

Only files that we wrote are removed: those of our names that begin as MCAP files do. Whoever wants to keep one for
good moves it or gives it another name.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from storm_edge.errors import OutputError, mismatch
from storm_edge.files import cannot_write
from storm_edge.mcap.writer import SUFFIX, remove_unfinished
from storm_edge.service.beside_sections import LossSection

_OURS = re.compile(r"loss-\d{8}T\d{6}\.\d{3}Z-[A-Za-z0-9_.#+-]+\.mcap")
_MAGIC = b"\x89MCAP0\r\n"
_BYTES_PER_MIB = 1 << 20
_LONGEST_WORDS = 60  # characters of a file name


class LossFolder:
    """One folder, for one process.

    Args:
        path: The folder; made if need be.
        section: How much it may hold.

    Raises:
        OutputError: Nothing can be written there.
    """

    def __init__(self, path: Path, section: LossSection) -> None:
        self.path = path
        self._most_bytes = round(section.disk_mib * _BYTES_PER_MIB)
        self._free_bytes = round(section.free_mib * _BYTES_PER_MIB)
        probe = path / ".writable"
        try:
            path.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise cannot_write(path, error) from error
        remove_unfinished(path)
        self.used_bytes = sum(_size(file) for file in self.files())
        """What our files take now [bytes]."""

    def files(self) -> list[Path]:
        """Our files, the oldest first."""
        return sorted(file for file in self.path.glob(f"loss-*{SUFFIX}") if _is_ours(file))

    def new_name(self, reasons: Sequence[str], now_s: float | None = None) -> Path:
        """The name of the next file: when, and what was lost."""
        now_s = time.time() if now_s is None else now_s
        words = re.sub(r"[^A-Za-z0-9_.#+-]", "_", "+".join(reasons))[:_LONGEST_WORDS] or "unnamed"
        stamp_ms = round(now_s * 1e3)
        while True:  # names are in the order of time, and none is given twice
            second = time.strftime("%Y%m%dT%H%M%S", time.gmtime(stamp_ms // 1000))
            path = self.path / f"loss-{second}.{stamp_ms % 1000:03d}Z-{words}{SUFFIX}"
            if not path.exists():
                return path
            stamp_ms += 1

    def make_room(self, size_bytes: int) -> None:
        """Remove the oldest of our files until so much more [bytes] keeps within both limits.

        Raises:
            OutputError: It does not, with none of our files left.
        """
        files = self.files()
        self.used_bytes = sum(_size(file) for file in files)
        while True:
            free_bytes = shutil.disk_usage(self.path).free
            fits_disk = size_bytes + self._free_bytes <= free_bytes
            if fits_disk and self.used_bytes + size_bytes <= self._most_bytes:
                return
            if not files:
                self._refuse(size_bytes, free_bytes, fits_disk=fits_disk)
            oldest = files.pop(0)
            self.used_bytes -= _size(oldest)
            oldest.unlink(missing_ok=True)

    def _refuse(self, size_bytes: int, free_bytes: int, *, fits_disk: bool) -> None:
        need_mib = size_bytes / _BYTES_PER_MIB
        if fits_disk:
            got, limit = f"a file of {need_mib:.1f} MiB", f"at most recording.disk_mib, {self._most_bytes >> 20}"
            raise OutputError(mismatch(self.path, got, limit, "raise recording.disk_mib, or record less"))
        got = f"{free_bytes / _BYTES_PER_MIB:.1f} MiB free"
        expected = f"room for {need_mib:.1f} MiB beside the {self._free_bytes >> 20} MiB that are left free"
        raise OutputError(mismatch(self.path, got, expected, "free some, or lower recording.free_mib"))


def _is_ours(file: Path) -> bool:
    if _OURS.fullmatch(file.name) is None or file.is_symlink():
        return False
    try:
        with file.open("rb") as stream:
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
