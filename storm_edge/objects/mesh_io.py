"""Model files to `Mesh` values: PLY, OBJ, GLB and STL, with vertex colours or one texture, in metres.

The file's unit is stated by the user and checked against the size of things a hand or a robot holds. The axes are
taken as they are: a y-up model stays y-up. Centring, symmetries and the rest of onboarding are `onboard`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from storm_edge.choices import LengthUnit
from storm_edge.errors import MeshError, UnitError, mismatch
from storm_edge.geometry.mesh import Mesh
from storm_edge.objects.surface import (
    Float64,
    Say,
    Surface,
    UInt8,
    bake_texture,
    clean,
    decimate,
    face_outwards,
    silent,
    to_mesh,
)

Unit = LengthUnit | Literal["mm", "m"]
"""A unit by its enum or by its name."""

METRES_PER_UNIT = {LengthUnit.MM: 1e-3, LengthUnit.M: 1.0}
FORMATS = (".ply", ".obj", ".glb", ".stl")
MAX_FACES = 20_000
MAX_TEXTURE_PX = 1024
"""Longer side of a kept texture: crops are rendered at 80 to 160 px, where finer texels only alias."""
PLAUSIBLE_M = (0.005, 3.0)
"""Longest sides of the bounding box [m] that we believe; their ratio is below 1000, so only one unit can be right."""

_GREY = 128.0 / 255.0


def load_mesh(path: Path | str, unit: Unit, *, max_faces: int = MAX_FACES, say: Say = silent) -> Mesh:
    """Read a model as a clean `Mesh` in metres.

    Args:
        path: PLY, OBJ, GLB or STL file.
        unit: What one unit of length in the file is.
        max_faces: Larger models are decimated to this many triangles.
        say: Receives one line per thing that was repaired or looks odd.

    Raises:
        MeshError: The file is missing, unreadable, or holds no usable surface.
        UnitError: No such unit, or the size is implausible in ``unit`` and plausible in the other one.
    """
    path, stated = Path(path), _checked_unit(unit)
    surface = clean(_read(path, say), what=path.name, say=say)
    surface = _in_metres(surface, stated, what=path.name, say=say)
    if len(surface.faces) > max_faces:
        before = len(surface.faces)
        textured = surface.texture is not None
        surface = clean(decimate(surface, max_faces), what=f"{path.name} after decimation", say=say)
        carried = "its texture became vertex colours" if textured else "vertex colours were carried over"
        say(f"{path.name}: decimated from {before} to {len(surface.faces)} faces; {carried}")
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
    if path.suffix.lower() not in FORMATS:
        raise MeshError(mismatch(path, f"a '{path.suffix}' file", "a 3D model", remedy))
    if not path.is_file():
        raise MeshError(mismatch(path, "no such file", "a 3D model", remedy))
    import trimesh

    try:
        # process=False: cleaning drops NaN vertices in silence, and we refuse them.
        scene: Any = trimesh.load(path, force="scene", process=False)
        placed = [scene.graph[node] for node in scene.graph.nodes_geometry]
        parts = [
            _part(scene.geometry[name], np.asarray(T, dtype=np.float64))
            for T, name in placed
            if isinstance(scene.geometry[name], trimesh.Trimesh)
        ]
    except Exception as error:  # its parsers raise whatever broken bytes lead them to
        reason = str(error) or type(error).__name__
        raise MeshError(mismatch(path, f"an unreadable file ({reason[:120]})", "a 3D model", remedy)) from error
    parts = [part for part in parts if len(part.faces)]
    if not parts:
        raise MeshError(mismatch(path, "no faces", "a triangle mesh", "export the model as triangles, not as points"))
    for part in parts:
        if part.texture is not None and not np.ptp(part.texture.reshape(-1, 3), axis=0).any():
            say(f"{path.name}: the texture is a single colour; its image file may be missing")
    return _joined(parts, what=path.name, say=say)


def _part(geometry: Any, T_scene_part: Float64) -> Surface:
    """One mesh of a scene graph, moved to its place, with whatever colour it carries."""
    vertices = np.asarray(geometry.vertices, dtype=np.float64) @ T_scene_part[:3, :3].T + T_scene_part[:3, 3]
    faces = np.asarray(geometry.faces, dtype=np.int64)
    if np.linalg.det(T_scene_part[:3, :3]) < 0.0:  # a mirrored node turns its faces inside out
        faces = faces[:, ::-1]
    colours = np.full((len(vertices), 3), _GREY, dtype=np.float32)
    visual = geometry.visual
    uv = texture = None
    if visual.kind == "texture":
        image = _material_image(visual.material)
        if image is not None and visual.uv is not None and len(visual.uv) == len(vertices):
            uv, texture = np.asarray(visual.uv, dtype=np.float64), _as_texture(image)
        else:
            colours[:] = np.asarray(visual.material.main_color, dtype=np.float32)[:3] / np.float32(255.0)
    elif visual.kind in ("vertex", "face"):
        colours[:] = np.asarray(visual.vertex_colors, dtype=np.float32)[:, :3] / np.float32(255.0)
    return Surface(vertices=vertices, faces=faces, colours=colours, uv=uv, texture=texture)


def _material_image(material: Any) -> Any:
    """The colour image of a trimesh material, or None.

    A colour factor beside a texture is not applied: exporters leave a stray grey there far more often than a tint.
    """
    image = getattr(material, "baseColorTexture", None)  # glTF
    return image if image is not None else getattr(material, "image", None)


def _as_texture(image: Any) -> UInt8:
    """RGB array of a PIL image, at most `MAX_TEXTURE_PX` long."""
    from PIL import Image

    rgb = image.convert("RGB")
    longest = max(rgb.size)
    if longest > MAX_TEXTURE_PX:
        size = [max(1, round(side * MAX_TEXTURE_PX / longest)) for side in rgb.size]
        rgb = rgb.resize((size[0], size[1]), Image.Resampling.BOX)
    return np.asarray(rgb, dtype=np.uint8)


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
