"""Model files to `Mesh` values: PLY, OBJ, GLB and STL, with vertex colours or one texture, in metres.

`ply_file`, `obj_file` and `glb_file` read what a file says; here it becomes one surface, checked and of bounded size.

The file's unit is stated by the user and checked against the size of things a hand or a robot holds. The axes are
taken as they are: a y-up model stays y-up. Centring, symmetries and the rest of onboarding are `onboard`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from storm_edge.choices import LengthUnit
from storm_edge.errors import MeshError, UnitError, mismatch
from storm_edge.geometry.mesh import Mesh
from storm_edge.objects.colour_values import GREY
from storm_edge.objects.glb_file import CompressedModel, read_glb
from storm_edge.objects.obj_file import read_obj
from storm_edge.objects.ply_file import read_ply
from storm_edge.objects.retexture import reduce_surface
from storm_edge.objects.surface import (
    Float64,
    Say,
    Surface,
    UInt8,
    bake_texture,
    clean,
    face_outwards,
    silent,
    to_mesh,
)

Unit = LengthUnit | Literal["mm", "m"]
"""A unit by its enum or by its name."""

METRES_PER_UNIT = {LengthUnit.MM: 1e-3, LengthUnit.M: 1.0}
FORMATS = (".ply", ".obj", ".glb", ".stl")
MAX_FACES = 20_000
PLAUSIBLE_M = (0.005, 3.0)
"""Longest sides of the bounding box [m] that we believe; their ratio is below 1000, so only one unit can be right."""
POSSIBLE_M = (0.001, 10.0)
"""Longest sides [m] outside of which a model is refused: a depth camera sees no such object whole."""


def load_mesh(path: Path | str, unit: Unit, *, max_faces: int = MAX_FACES, say: Say = silent) -> Mesh:
    """Read a model as a clean `Mesh` in metres.

    Args:
        path: PLY, OBJ, GLB or STL file.
        unit: What one unit of length in the file is.
        max_faces: Larger models are decimated to this many triangles.
        say: Receives one line per thing that was repaired or looks odd.

    Raises:
        MeshError: The file is missing, unreadable, or holds no usable surface.
        UnitError: No such unit, or the size is implausible in ``unit`` and plausible in the other one, or impossible.
    """
    path, stated = Path(path), _checked_unit(unit)
    surface = clean(_read(path, say), what=path.name, say=say)
    surface = _in_metres(surface, stated, what=path.name, say=say)
    if len(surface.faces) > max_faces:
        before = len(surface.faces)
        carried = "vertex colours were" if surface.texture is None else "its texture was"
        surface = clean(reduce_surface(surface, max_faces), what=f"{path.name} after decimation", say=say)
        say(f"{path.name}: decimated from {before} to {len(surface.faces)} faces; {carried} carried over")
    return to_mesh(face_outwards(surface, what=path.name, say=say))


def _checked_unit(unit: Unit) -> LengthUnit:
    try:
        return LengthUnit(unit)
    except ValueError as error:
        names = " or ".join(f"'{known.value}'" for known in LengthUnit)
        raise UnitError(mismatch("unit", repr(unit), names, "state the unit of length of the model file")) from error


def _in_metres(surface: Surface, unit: LengthUnit, *, what: str, say: Say) -> Surface:
    """Scale to metres and check the size."""
    scale = METRES_PER_UNIT[unit]
    size = float(np.ptp(surface.vertices, axis=0).max())
    low, high = PLAUSIBLE_M
    if not low <= size * scale <= high:
        other, other_scale = next((u, s) for u, s in METRES_PER_UNIT.items() if u != unit)
        got = f"a length of {size * scale:.4g} m with unit {unit.value}"
        if low <= size * other_scale <= high:
            remedy = f"state the unit as {other.value}, which makes it {size * other_scale:.3g} m"
            raise UnitError(mismatch(what, got, f"{low:g} to {high:g} m", remedy))
        if not POSSIBLE_M[0] <= size * scale <= POSSIBLE_M[1]:
            expected = f"{POSSIBLE_M[0]:g} to {POSSIBLE_M[1]:g} m"
            remedy = "the unit is neither mm nor m; scale the model to one of them"
            raise UnitError(mismatch(what, got, expected, remedy))
        say(f"{what}: {got} is unusual (expected {low:g} to {high:g} m); check the model's scale")
    return Surface(
        vertices=surface.vertices * scale,
        faces=surface.faces,
        colours=surface.colours,
        uv=surface.uv,
        texture=surface.texture,
    )


def _read(path: Path, say: Say) -> Surface:
    """All triangles of a file in its own unit, scene graphs flattened."""
    remedy = "give a " + ", ".join(f.lstrip(".").upper() for f in FORMATS) + " file"
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise MeshError(mismatch(path, f"a '{path.suffix}' file", "a 3D model", remedy))
    if not path.is_file():
        raise MeshError(mismatch(path, "no such file", "a 3D model", remedy))
    try:
        if path.stat().st_size == 0:
            raise MeshError(mismatch(path, "an empty file", "a 3D model", "export or copy the model again"))
        with np.errstate(all="ignore"):  # of coordinates that are not finite, which are refused below
            parts = _READERS[suffix](path, say)
    except MeshError:
        raise
    except CompressedModel as error:
        again = "export the model again without compression"
        got = f"geometry compressed with {error}"
        raise MeshError(mismatch(path, got, "geometry as it is", again)) from error
    except Exception as error:  # parsers raise whatever broken bytes lead them to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MeshError(mismatch(path, f"an unreadable file ({reason[:120]})", "a 3D model", remedy)) from error
    points = sum(len(part.vertices) for part in parts)
    parts = [replace(part, vertices=part.vertices + 0.0) for part in parts if len(part.faces)]  # no negative zeros
    if not parts:
        got = f"a point cloud of {points} points and no faces" if points else "no faces"
        make = "make a surface of the points first, such as with MeshLab" if points else "export triangles"
        raise MeshError(mismatch(path, got, "a triangle mesh", make))
    for part in parts:
        if part.texture is not None and not np.ptp(part.texture.reshape(-1, 3), axis=0).any():
            say(f"{path.name}: the texture is a single colour; its image file may be missing")
    return _joined(parts, what=path.name, say=say)


def _read_stl(path: Path, say: Say) -> list[Surface]:
    """The solids of an STL file, which has no colours."""
    import trimesh

    # process=False: cleaning drops NaN vertices in silence, and we refuse them.
    with _without_logs("trimesh"):
        scene: Any = trimesh.load(path, force="scene", process=False)
    parts = []
    for solid in scene.geometry.values():
        vertices = np.asarray(solid.vertices, dtype=np.float64)
        colours = np.full((len(vertices), 3), GREY, dtype=np.float32)
        parts.append(Surface(vertices=vertices, faces=np.asarray(solid.faces, dtype=np.int64), colours=colours))
    return parts


@contextmanager
def _without_logs(name: str) -> Iterator[None]:
    """What a library logs in the block is dropped: it would tell of a broken file what the error tells again."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


_READERS = {".ply": read_ply, ".obj": read_obj, ".glb": read_glb, ".stl": _read_stl}


def _joined(parts: list[Surface], *, what: str, say: Say) -> Surface:
    """One surface of several; one texture where that is possible, vertex colours where it is not."""
    if len(parts) == 1:
        return parts[0]
    if any(part.texture is not None for part in parts):
        tiles = [_as_tile(part) for part in parts]
        if all(tile is not None for tile in tiles):
            return _atlas([tile for tile in tiles if tile is not None])
        say(f"{what}: several materials that do not fit in one texture; colours were sampled at the vertices")
    return _stacked([bake_texture(part) for part in parts])


def _stacked(parts: list[Surface], uv: Float64 | None = None, texture: UInt8 | None = None) -> Surface:
    """Arrays of the parts after one another."""
    start = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    return Surface(
        vertices=np.concatenate([part.vertices for part in parts]),
        faces=np.concatenate([part.faces + offset for part, offset in zip(parts, start, strict=True)]),
        colours=np.concatenate([part.colours for part in parts]),
        uv=uv,
        texture=texture,
    )


def _as_tile(part: Surface) -> tuple[Surface, Float64, UInt8] | None:
    """The part with uv and image for an atlas, or None if it repeats its texture or has varied vertex colours."""
    if part.uv is not None and part.texture is not None:
        inside = part.uv.min() >= -1e-3 and part.uv.max() <= 1.0 + 1e-3
        return (part, part.uv, part.texture) if inside else None
    if np.ptp(part.colours, axis=0).max() > 1e-3:
        return None
    flat: NDArray[np.uint8] = np.full((2, 2, 3), np.round(part.colours[0] * 255.0), dtype=np.uint8)
    return part, np.full((len(part.vertices), 2), 0.5), flat


def _atlas(tiles: list[tuple[Surface, Float64, UInt8]]) -> Surface:
    """Textures below one another in one image, padded to the widest; coordinates stay half a texel off the seams."""
    width = max(image.shape[1] for _, _, image in tiles)
    height = sum(image.shape[0] for _, _, image in tiles)
    rows, uvs, top = [], [], 0
    for _, uv, image in tiles:
        h, w = image.shape[:2]
        rows.append(np.pad(image, ((0, 0), (0, width - w), (0, 0)), mode="edge"))
        x = np.clip(uv[:, 0] * w, 0.5, w - 0.5)
        y = np.clip((1.0 - uv[:, 1]) * h, 0.5, h - 0.5)
        uvs.append(np.stack([x / width, 1.0 - (top + y) / height], axis=1))
        top += h
    return _stacked([part for part, _, _ in tiles], np.concatenate(uvs), np.concatenate(rows))
