"""Texture images of a model: found beside it by whatever name the file gives, decoded, and reduced.

A texture that is missing or cannot be read costs its colours, never the model: it is told in one note.
"""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.objects.surface import Float64, Say, UInt8
from storm_edge.objects.texture_wrap import WrapModes, unwrapped

MAX_TEXTURE_PX = 1024
"""Longer side of a kept texture: crops are rendered at 80 to 160 px, where finer texels only alias."""


class TextureFolder:
    """The images beside one model file. Each image is read once, and each that is missing is told once.

    Args:
        model: The model file.
        say: Receives a note per image that is missing or cannot be read.
    """

    def __init__(self, model: Path, say: Say) -> None:
        self._model = model
        self._say = say
        self._images: dict[str, UInt8 | None] = {}
        self._told_colours = False
        self._told_greys: set[str] = set()

    def image(self, name: str) -> UInt8 | None:
        """RGB ``(H, W, 3)`` of an image that the model names, or None, which was told.

        Folders in the name are tried first and forgotten then; so are small and capital letters.
        """
        if name not in self._images:
            path = beside(self._model, name)
            if path is None:
                self._say(
                    f"{self._model.name}: its texture image {name} was not found beside it, so its colours are not"
                    " used; put it into the model's folder"
                )
            self._images[name] = None if path is None else self.decoded(path.read_bytes(), name)
        return self._images[name]

    def beside_colours(self, colours: NDArray[np.floating] | None) -> None:
        """Tell once that colours ``(V, 3)`` of vertices that differ are not used, since there is a texture."""
        if colours is not None and not self._told_colours and np.ptp(colours, axis=0).max() > 1e-3:
            self._told_colours = True
            self._say(
                f"{self._model.name}: it has a texture and colours of its vertices; the texture is used, the"
                " vertices' colours are not"
            )

    def beside_grey(self, name: str) -> None:
        """Tell once that the grey of a material is not used, since there is a texture."""
        if name not in self._told_greys:
            self._told_greys.add(name)
            self._say(
                f"{self._model.name}: the grey (Kd) of the material with the texture image {name} is not used; the"
                " image is shown as it is"
            )

    def unmapped(self, name: str) -> None:
        """Tell that an image is not used where faces lack coordinates."""
        self._say(
            f"{self._model.name}: its texture image {name} is not used on faces that have no texture coordinates"
        )

    def wrapped(self, image: UInt8, uv: Float64, modes: WrapModes, *, name: str) -> tuple[UInt8, Float64]:
        """Image and coordinates ``(N, 2)`` that show the same when the image repeats; what cannot is told."""
        found = unwrapped(image, uv, modes)
        if found is None:
            self._say(
                f"{self._model.name}: its texture {name} repeats, though the model says that it is clamped: its"
                " coordinates go too far beyond the image"
            )
            return image, uv
        return found

    def decoded(self, data: bytes, name: str) -> UInt8 | None:
        """RGB ``(H, W, 3)`` of an image file's bytes, or None, which was told."""
        from PIL import Image

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of its size: it is reduced below
                with Image.open(io.BytesIO(data)) as image:
                    return _reduced(image)
        except Exception as error:  # a decoder raises whatever broken bytes lead it to
            reason = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
            self._say(
                f"{self._model.name}: its texture image {name} cannot be read ({reason}), so its colours are not"
                " used; save it as PNG or JPEG"
            )
            return None


def beside(model: Path, name: str) -> Path | None:
    """The file that a model names, which may be a path of another machine; None where there is none."""
    parts = [part for part in re.split(r"[\\/]+", name.strip().strip("\"'")) if part not in ("", ".")]
    if not parts:
        return None
    tries = [model.parent.joinpath(*parts), model.parent / parts[-1]]
    try:
        found = next((path for path in tries if path.is_file()), None)
        if found is None:
            last = parts[-1].casefold()
            found = next((p for p in sorted(model.parent.iterdir()) if p.name.casefold() == last), None)
        return found if found is not None and found.is_file() else None
    except (OSError, ValueError):  # a name that no file system takes
        return None


def _reduced(image: Any) -> UInt8:
    """RGB array of a PIL image, at most `MAX_TEXTURE_PX` long."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bit, which PIL would cut off at 255
        image = Image.fromarray((np.asarray(image) // 257).clip(0, 255).astype(np.uint8))
    rgb = image.convert("RGB")
    longest = max(rgb.size)
    if longest > MAX_TEXTURE_PX:
        size = [max(1, round(side * MAX_TEXTURE_PX / longest)) for side in rgb.size]
        rgb = rgb.resize((size[0], size[1]), Image.Resampling.BOX)
    return np.asarray(rgb, dtype=np.uint8)
