"""Reading weights from disk without running what is in the file, and loading them without letting anything slip.

Official FoundationPose and SAM2 files are a bare state dict or ``{"model": state dict, ...}``, those of STORM have it
under ``model_state_dict``; some were saved from a parallel wrapper that puts ``module.`` before every key. Those that
``storm-edge train`` writes are read by `nano_checkpoints`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from storm_edge.errors import CheckpointError, mismatch

_SHOWN = 3  # entries named in a message; the others are counted
_WRAPPERS = ("model", "model_state_dict")
# Training scripts keep scores in their files, which may be NumPy scalars; these are what rebuilds one.
_NUMPY_SCALARS: list[Any] = [
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),
    (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "int32", "bool")),
]


def read_checkpoint(path: Path) -> Any:
    """What ``path`` holds: tensors, plain containers and NumPy scalars, on the CPU.

    Raises:
        CheckpointError: No such file, not written by torch, or it holds other objects.
    """
    try:
        with torch.serialization.safe_globals(_NUMPY_SCALARS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle's version: what is not read is refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        expected = "a torch file of tensors only"
        raise CheckpointError(mismatch(path, error.strerror or error, expected, "check the path")) from error
    except Exception as error:  # torch and zipfile raise many kinds for a file that is not theirs
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            mismatch(path, first, "a torch file of tensors only", "check the path and the file")
        ) from error


def state_dict_of(content: Any, path: Path) -> dict[str, Tensor]:
    """The weights in what `read_checkpoint` returned, keys without a leading ``module.``.

    Raises:
        CheckpointError: There is no mapping of names to tensors.
    """
    if isinstance(content, Mapping):
        content = next((content[w] for w in _WRAPPERS if isinstance(content.get(w), Mapping)), content)
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        expected = f"a state dict, bare or under {' or '.join(map(repr, _WRAPPERS))}"
        raise CheckpointError(mismatch(path, type(content).__name__, expected, "save model.state_dict()"))
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def load_strictly(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Copy ``weights`` into ``module``; every entry must be there, known and of its shape.

    Raises:
        CheckpointError: Names the first entries that are missing, unknown or misshapen, and counts the others.
    """
    wanted = module.state_dict()
    missing = [k for k in wanted if k not in weights]
    unknown = [k for k in weights if k not in wanted]
    misshapen = [
        f"{k} {tuple(weights[k].shape)} instead of {tuple(v.shape)}"
        for k, v in wanted.items()
        if k in weights and weights[k].shape != v.shape
    ]
    faults = [
        f"{len(entries)} {kind} ({', '.join(entries[:_SHOWN])}{', ...' if len(entries) > _SHOWN else ''})"
        for kind, entries in (("missing", missing), ("unknown", unknown), ("misshapen", misshapen))
        if entries
    ]
    if faults:
        expected = f"the {len(wanted)} entries of {type(module).__name__}"
        raise CheckpointError(mismatch(path, "; ".join(faults), expected, "use the checkpoint of this network"))
    module.load_state_dict(weights)
