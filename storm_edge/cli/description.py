"""What describes an object in words, and what turns words into a vector: models, or functions of the user's.

Both are named ``transformers:MODEL``, a folder or a name of that library's hub, or ``module:function``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from storm_edge.errors import BackendError, ConfigError, mismatch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OPTION = "--text-encoder"
CAPTIONER = "--captioner"
DESCRIBED_VIEW = 3
"""Which of an object's views a captioner is shown; upstream's choice."""
_MODEL = "transformers"


def open_text_encoder(encoder: str) -> Callable[[str], NDArray[np.float32]]:
    """What turns a description into a language context ``(length,)``.

    Args:
        encoder: ``transformers:MODEL``, or ``module:function``, which takes the text and returns the vector.

    Raises:
        ConfigError: There is no such function or model, or it returns something else.
        BackendError: A model is named, and its library is not installed.
    """
    import numpy as np

    made, what = _of(encoder, OPTION, "text_encoder"), f"{OPTION} {encoder}"

    def checked(text: str) -> NDArray[np.float32]:
        try:
            vector = np.asarray(made(text), dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ConfigError(mismatch(what, error, "a vector of numbers", "return one")) from error
        if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all():
            got = f"shape {vector.shape}" + ("" if np.isfinite(vector).all() else " with NaN or infinite")
            raise ConfigError(mismatch(what, got, "a finite vector (length,)", "return one"))
        return vector

    return checked


def open_captioner(name: str, *, device: str = "cpu") -> Callable[[NDArray[np.uint8]], str]:
    """What says a line of words of a picture ``(H, W, 3)``.

    Args:
        name: ``transformers:MODEL``, or ``module:function``, which takes the picture and returns the words.
        device: Where a model runs.

    Raises:
        ConfigError: There is no such function or model.
        BackendError: A model is named, and its library is not installed.
    """
    say = _of(name, CAPTIONER, "captioner", device=device)

    def checked(picture: NDArray[np.uint8]) -> str:
        words = say(picture)
        if not isinstance(words, str) or not words.strip():
            got = "no words" if isinstance(words, str) else type(words).__name__
            raise ConfigError(mismatch(f"{CAPTIONER} {name}", got, "a line of words", "return one"))
        return " ".join(words.split())

    return checked


def _of(name: str, option: str, of_model: str, **given: Any) -> Callable[..., Any]:
    """The function of a name; ``of_model`` is what makes one of a model in `storm_edge.networks.language`."""
    module, colon, rest = name.partition(":")
    expected = f"{_MODEL}:MODEL, or module:function of an importable module"
    if not (module and colon and rest):
        raise ConfigError(mismatch(option, name, expected, "name both"))
    if module == _MODEL:
        return _model(rest, of_model, **given)
    try:
        found = getattr(importlib.import_module(module), rest)
    except (ImportError, AttributeError) as error:
        raise ConfigError(mismatch(f"{option} {name}", error, expected, "install it, or set PYTHONPATH")) from error
    function: Callable[..., Any] = found
    return function


def _model(model: str, of_model: str, **given: Any) -> Callable[..., Any]:
    try:
        from storm_edge.networks import language
    except ModuleNotFoundError as error:
        got, remedy = f"no module '{error.name}'", "pip install 'storm-edge[language]'"
        raise BackendError(mismatch("descriptions", got, "the language extra", remedy)) from error
    made: Callable[..., Any] = getattr(language, of_model)(model, **given)
    return made
