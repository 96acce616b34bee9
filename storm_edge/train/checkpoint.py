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


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` to ``path`` so that a reader sees the old file or the new one, never a part.

    Raises:
        OutputError: The folder cannot be written.
    """
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        torch.save({"format": FORMAT, **content}, part)
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch wraps a missing folder in a RuntimeError
        part.unlink(missing_ok=True)
        raise OutputError(mismatch(path, error, "a folder that can be written", "choose another --out")) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote.

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
