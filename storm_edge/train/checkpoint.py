"""Training checkpoints on disk: written in one piece, read without running what is in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from storm_edge.errors import CheckpointError, OutputError, bad

FORMAT = 1
_KEYS = {"format", "network", "nano", "model", "ema", "optimizer", "step", "elapsed_s", "drawn", "seed"}


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` to ``path`` so that a reader sees the old file or the new one, never a part.

    Raises:
        OutputError: The folder cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        torch.save({"format": FORMAT, **content}, part)
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch wraps a missing folder in a RuntimeError
        part.unlink(missing_ok=True)
        raise OutputError(bad(path, error, "a folder that can be written", "choose another --out")) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote.

    Raises:
        CheckpointError: No such file, not a checkpoint of a training run, or of another format.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is not its own
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            bad(path, first, "a checkpoint of storm-edge train", "check the path, or train again")
        ) from error
    if not isinstance(content, dict) or not content.keys() >= _KEYS or content["format"] != FORMAT:
        raise CheckpointError(
            bad(path, "other content", f"a training checkpoint of format {FORMAT}", "train again with this version")
        )
    return content
