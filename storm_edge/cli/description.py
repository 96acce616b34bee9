"""The text encoder of ``onboard --description``: a function of the user's that turns words into a vector."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from storm_edge.errors import ConfigError, mismatch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OPTION = "--text-encoder"


def encoded(text: str, encoder: str) -> NDArray[np.float32]:
    """The language context of a description ``(length,)``.

    Args:
        text: The description.
        encoder: ``module:function``; the function takes the text and returns the vector.

    Raises:
        ConfigError: There is no such function, or it returns something else.
    """
    import numpy as np

    module, colon, name = encoder.partition(":")
    expected = "module:function of an importable module"
    if not (module and colon and name):
        raise ConfigError(mismatch(OPTION, encoder, expected, "name both"))
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            mismatch(f"{OPTION} {encoder}", error, expected, "install it, or set PYTHONPATH")
        ) from error
    try:
        vector = np.asarray(function(text), dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ConfigError(mismatch(f"{OPTION} {encoder}", error, "a vector of numbers", "return one")) from error
    if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all():
        got = f"shape {vector.shape}" + ("" if np.isfinite(vector).all() else " with NaN or infinite")
        raise ConfigError(mismatch(f"{OPTION} {encoder}", got, "a finite vector (length,)", "return one"))
    return vector
