"""Words of the objects of a folder, and the vectors that a text encoder makes of them.

``descriptions.json`` has upstream's form, ``{"obj_000001": "red metal can"}``, and may be written or mended by hand:
what is there stays. ``contexts.json`` has a vector for each of them, which the segmenter is trained with
(`som_samples`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.images import read_rgb
from storm_edge.errors import InputError, mismatch
from storm_edge.files import write_atomically
from storm_edge.parsing import parse_json
from storm_edge.training_data.prepare import RENDER
from storm_edge.training_data.som_samples import CONTEXTS
from storm_edge.training_data.view_pictures import view_paths

DESCRIPTIONS = "descriptions.json"
Progress = Callable[[str, float], None]


def describe_objects(
    folder: Path, say: Callable[[NDArray[np.uint8]], str], *, view: int, progress: Progress = lambda what, share: None
) -> dict[str, str]:
    """Describe the objects of a folder that have no words yet; each is written before the next is asked for.

    Args:
        folder: With ``render/`` in it.
        say: Words of a picture.
        view: Which view is described.
        progress: Receives what is being done and its finished share.

    Returns:
        The new words by name.

    Raises:
        InputError: There are no views, or the file of words is broken.
    """
    names = sorted(path.name for path in (folder / RENDER).glob("*") if path.is_dir())
    if not names:
        expected, remedy = "views of objects", "make them: storm-edge data prepare, or data views --out DIR/render"
        raise InputError(mismatch(folder / RENDER, "no folder of views", expected, remedy))
    words = read_descriptions(folder) if (folder / DESCRIPTIONS).is_file() else {}
    made: dict[str, str] = {}
    for done, name in enumerate(names):
        progress("describe", done / len(names))
        if name in words:
            continue
        made[name] = say(read_rgb(view_paths(folder / RENDER / name, name=name)[view]))
        write_atomically(folder / DESCRIPTIONS, (json.dumps({**words, **made}, indent=2) + "\n").encode())
    return made


def encode_descriptions(
    folder: Path,
    encode: Callable[[str], NDArray[np.float32]],
    *,
    progress: Progress = lambda what, share: None,
) -> tuple[int, int]:
    """Turn the words of a folder into vectors.

    Args:
        folder: With `DESCRIPTIONS` in it.
        encode: The vector of a text.
        progress: Receives what is being done and its finished share.

    Returns:
        How many there are, and their length.

    Raises:
        InputError: There are no words, or the file is broken.
    """
    words = read_descriptions(folder)
    contexts: dict[str, list[float]] = {}
    for done, (name, text) in enumerate(words.items()):
        progress("encode", done / len(words))
        contexts[name] = [float(x) for x in encode(text)]
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(vector)}" for name, vector in contexts.items())
    write_atomically(folder / CONTEXTS, f"{{\n{lines}\n}}\n".encode())
    return len(contexts), len(next(iter(contexts.values())))


def read_descriptions(folder: Path) -> dict[str, str]:
    """The words by name; entries that upstream's script left empty are left out.

    Raises:
        InputError: There are none, or the file is broken.
    """
    path, expected = folder / DESCRIPTIONS, '{"obj_000001": "its words", ...}'
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        found = {str(name): str(text) for name, text in content.items() if text}
    except (OSError, ValueError, AttributeError) as error:
        got = getattr(error, "strerror", None) or error
        raise InputError(mismatch(path, got, expected, "write it, or describe the objects: --captioner")) from error
    if not found:
        raise InputError(mismatch(path, "no words", expected, "write some, or describe the objects: --captioner"))
    return found
