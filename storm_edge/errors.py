"""Everything STORM-Edge raises on purpose, and how its messages are worded.

The tree::

    StormEdgeError            one line for the user, exit status 1
    |-- InputError            something the user gave is wrong
    |   |-- CameraError       intrinsics that no camera has
    |   |-- ConfigError       YAML or option that does not parse, unknown keys
    |   |-- DepthError        depth image without use (all zero, wrong dtype)
    |   |-- FrameError        image of the wrong size, type or number of channels
    |   |-- MaskError         mask that is empty or has no depth under it
    |   |-- MeshError         model that is not a usable surface
    |   |-- SceneError        recording on disk that is missing, truncated or inconsistent
    |   `-- UnitError         lengths in another unit, or of another scale
    |-- ObjectBundleError     onboarded object that is missing, stale or edited
    |-- EngineError           network or engine that is missing, edited or does not fit
    |   `-- CheckpointError   weights with missing, unknown or misshapen entries
    |-- BackendError          device or library that was asked for and is not here
    |   `-- RunFault            device, engine or stage that failed in mid-run, for good
    `-- OutputError           a result cannot be written

A bug is none of these: it keeps its traceback.
"""

from __future__ import annotations


class StormEdgeError(Exception):
    """Base of every error that is the answer to a user, not a bug."""


class InputError(StormEdgeError):
    """Something the user gave cannot be used."""


class CameraError(InputError):
    """Camera intrinsics that no camera has."""


class ConfigError(InputError):
    """A configuration value, key or option that is not understood."""


class DepthError(InputError):
    """A depth image that cannot be used."""


class FrameError(InputError):
    """An image of the wrong size, type or number of channels."""


class MaskError(InputError):
    """A mask that marks nothing, or nothing with depth."""


class MeshError(InputError):
    """A 3D model that is not a usable surface."""


class SceneError(InputError):
    """A recording on disk that is missing, truncated or inconsistent."""


class UnitError(InputError):
    """Lengths in another unit, or of another scale."""


class ObjectBundleError(StormEdgeError):
    """An onboarded object that is missing, stale or edited."""


class EngineError(StormEdgeError):
    """A network or engine that is missing, edited or does not fit its manifest."""


class CheckpointError(EngineError):
    """Weights with missing, unknown or misshapen entries."""


class BackendError(StormEdgeError):
    """A device or library that was asked for and is not available here."""


class RunFault(BackendError):
    """A device, an engine or a stage that failed while the loop ran, and not for anything the user gave."""


class OutputError(StormEdgeError):
    """A result cannot be written."""


_LONGEST_GOT = 400  # characters; a broken file may hold a word of any length


def mismatch(what: object, got: object, expected: object, remedy: str) -> str:
    """Word a message in the four beats every error of ours has.

    Args:
        what: The file, tensor or option that is wrong.
        got: What arrived.
        expected: What was expected instead.
        remedy: What the user can do, as an imperative without a full stop.

    Returns:
        One line: ``what: got ..., expected ...; remedy``.
    """
    arrived = str(got)
    if len(arrived) > _LONGEST_GOT:
        arrived = f"{arrived[:_LONGEST_GOT]}..."
    line = f"{what}: got {arrived}, expected {expected}; {remedy}"
    return " ".join(line.split())
