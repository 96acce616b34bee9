"""Training checkpoints on disk, written in one piece."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from storm_edge.errors import CheckpointError, OutputError, mismatch
from storm_edge.networks.checkpoints import read_checkpoint

FORMAT = 1
_KEYS = {"format", "network", "nano", "model", "ema", "optimizer", "step", "elapsed_s", "drawn", "seed"}

_FULL_KEYS = {"format", "network", "sizes", "model_state_dict", "optimizer", "step", "elapsed_s", "drawn", "seed"}


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` to ``path`` so that a reader sees the old file or the new one, never a part.

    Raises:
        OutputError: It cannot be written; the old file is as it was.
    """
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        with part.open("wb") as file:
            torch.save({"format": FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())  # else a machine that loses power may have the name and not the content
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch wraps what the system says in a RuntimeError
        got = (error.strerror if isinstance(error, OSError) else None) or str(error).splitlines()[0]
        expected = "a folder that can be written, with room for a checkpoint"
        raise OutputError(mismatch(path, got, expected, "free some, or choose another --out")) from error
    finally:
        part.unlink(missing_ok=True)


def load_full_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote of a run of a full network.

    Raises:
        CheckpointError: No such file, not a checkpoint of such a run, or of another format.
    """
    content = read_checkpoint(path)
    if not isinstance(content, dict) or not content.keys() >= _FULL_KEYS or content["format"] != FORMAT:
        expected, remedy = "a checkpoint of train --tier full", "begin with it: --start-from"
        raise CheckpointError(mismatch(path, "other content", expected, remedy))
    return content


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote of a run of a nano network.

    Raises:
        CheckpointError: No such file, not a checkpoint of a training run, or of another format.
    """
    content = read_checkpoint(path)
    if not isinstance(content, dict) or not content.keys() >= _KEYS or content["format"] != FORMAT:
        raise CheckpointError(
            mismatch(
                path, "other content", f"a training checkpoint of format {FORMAT}", "train again with this version"
            )
        )
    return content
