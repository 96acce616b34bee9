"""Checkpoints that others publish: what the file is called, where it is found, and reading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from storm_edge.errors import CheckpointError, mismatch
from storm_edge.networks.checkpoints import read_checkpoint, state_dict_of


@dataclass(frozen=True, kw_only=True)
class Published:
    """A file of weights that a user gets from its authors; none comes with this project."""

    file: str
    """Name the authors give it."""
    origin: str
    """Where they publish it, or that they do not, in words."""


def read_published(path: Path, source: Published) -> dict[str, Tensor]:
    """The state dict in ``path``, whichever way it is wrapped.

    Raises:
        CheckpointError: No such file (says which one is wanted and where it is published), or not one of weights.
    """
    if not path.is_file():
        raise CheckpointError(mismatch(path, "no such file", source.file, f"see {source.origin}"))
    return state_dict_of(read_checkpoint(path), path)
