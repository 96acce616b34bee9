"""The process that reads broken files: cases one after another, each told before it begins and after it ends."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import time
import traceback
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.fuzz.mutations import break_file
from benchmarks.fuzz.readers import READERS, put_hashes_right, sound
from storm_edge.errors import StormEdgeError

MEMORY_BYTES = 4 * 2**30
"""What a reader may take."""
LONGEST_LINE = 1500
"""Of a message [characters]."""
_SAID_PREFIXES = ("Context leak detected",)  # of a library on some systems, about nothing that was read


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How a case ended."""

    reader: str
    """Which reader."""
    number: int
    """Which case of it."""
    outcome: str
    """``read``, ``refused``, or what was found: ``traceback``, ``memory``, ``message``, ``printed``."""
    detail: str
    """What was said."""
    peak_bytes: int
    """Largest resident size meanwhile."""
    cpu_s: float
    """Processor time [s]."""


def work(pipe: Connection, place: Path, seed: int, names: list[str], first: int, last: int) -> None:
    """Run cases; a pair ``(reader, number)`` is sent before each and an `Answer` after it, which is to be
    answered before the next one begins.

    Args:
        pipe: To whoever started this process.
        place: A folder to work in.
        seed: Of all cases.
        names: Readers that take turns.
        first: The first case, counted over all readers.
        last: The one after the last.
    """
    warnings.simplefilter("always")
    sounds = place / "sound"
    for name in names:
        if not (sounds / name).is_dir():
            sound(name, sounds / name)
    said = (place / "said").open("wb")
    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    _bound_memory()
    for count in range(first, last):
        name, number = names[count % len(names)], count // len(names)
        pipe.send((name, number))
        pipe.send(run_case(name, number, seed=seed, sounds=sounds, place=place))
        pipe.recv()


def run_case(name: str, number: int, *, seed: int, sounds: Path, place: Path) -> Answer:
    """Break files of a reader and have them read.

    Args:
        name: The reader.
        number: The case.
        seed: Of all cases.
        sounds: Folder of sound files by reader.
        place: A folder to work in; the case's files are left in ``case``.
    """
    rng = np.random.default_rng([seed, sorted(READERS).index(name), number])
    reader, folder, said = READERS[name], place / "case", place / "said"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sounds / name, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    before = {path.relative_to(folder).as_posix(): _hash(path) for path in files}
    for _ in range(int(rng.integers(1, 3))):
        break_file(files[int(rng.integers(len(files)))], rng)
    if rng.random() < 0.7:
        for manifest in reader.also:
            names = {Path(file).relative_to(Path(manifest).parent).as_posix() if
                     Path(file).is_relative_to(Path(manifest).parent) else file: old
                     for file, old in before.items()}  # fmt: skip
            put_hashes_right(folder / manifest, names)
    start = said.stat().st_size if said.exists() else 0
    _reset_peak()
    began_s = time.process_time()
    outcome, detail = "read", ""
    try:
        reader.read(folder, rng)
    except StormEdgeError as error:
        outcome, detail = "refused", str(error)
        if "\n" in detail or len(detail) > LONGEST_LINE:
            outcome, detail = (
                "message",
                f"{len(detail)} characters, {detail.count(chr(10)) + 1} lines: {detail[:300]}",
            )
        elif "Unable to allocate" in detail or "MemoryError" in detail or "bad_alloc" in detail:
            outcome = "memory"
    except MemoryError:
        outcome, detail = "memory", traceback.format_exc(limit=-4)
    except BaseException:
        outcome, detail = "traceback", traceback.format_exc(limit=-6)[-1500:]
    cpu_s, peak = time.process_time() - began_s, _peak_bytes()
    if outcome in ("read", "refused"):
        printed = _printed(said, start)
        if printed:
            outcome, detail = "printed", printed[:600]
        elif peak > MEMORY_BYTES:
            outcome = "memory"
    return Answer(reader=name, number=number, outcome=outcome, detail=detail, peak_bytes=peak, cpu_s=cpu_s)


def _printed(said: Path, start: int) -> str:
    """What was printed since, past our own lines."""
    if not said.exists():
        return ""
    with said.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(line for line in lines if line.strip() and not line.startswith(_SAID_PREFIXES))


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _bound_memory() -> None:
    """Let this process map so much more than now, and no more: an allocation beyond it fails, and is found."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
