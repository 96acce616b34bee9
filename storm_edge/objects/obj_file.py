"""Reading OBJ models and their MTL files: polygons, vertex colours, one surface per material.

Of a material its colour ``Kd`` and its image ``map_Kd`` are read, with the options ``-s``, ``-o`` and ``-clamp``.
Where ``Kd`` has a hue it tints the image; a grey one stands beside most images without a meaning, so it is told and
not used. Colours of vertices (``v x y z r g b``) go before ``Kd``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from storm_edge.objects.colour_values import GREY, unit_range
from storm_edge.objects.polygons import triangulate
from storm_edge.objects.surface import Float32, Float64, Int64, Say, Surface, UInt8
from storm_edge.objects.texture_files import TextureFolder, beside
from storm_edge.objects.texture_wrap import Wrap, WrapModes

_MAP_VALUES = {"-blendu": 1, "-blendv": 1, "-boost": 1, "-mm": 2, "-texres": 1, "-clamp": 1, "-bm": 1, "-type": 1}
_MAP_VALUES |= {"-imfchan": 1, "-cc": 1, "-colorspace": 1}
"""Options of a map and how many values follow them; ``-o``, ``-s`` and ``-t`` take one to three numbers."""

_SAME_TINT = 1e-3
"""Channels of ``Kd`` that differ by less are one grey."""


@dataclass(kw_only=True)
class _Material:
    colour: tuple[float, ...] | None = None
    image: str | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    clamped: bool = False


@dataclass
class _Faces:
    """Corners of one material's polygons: vertex and coordinate of each (-1 for none), and the polygons' sizes."""

    vertex: list[int] = field(default_factory=list)
    coordinate: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


def read_obj(path: Path, say: Say) -> list[Surface]:
    """The surfaces of an OBJ file in its own unit, one per material.

    Raises:
        ValueError: The file is broken.
    """
    positions: list[list[float]] = []
    coordinates: list[list[float]] = []
    groups: dict[tuple[str | None, bool], _Faces] = {}  # by material, and whether they have coordinates
    libraries: list[str] = []
    material: str | None = None
    for words, rest in _lines(path):
        if words[0] == "v":
            positions.append([float(word) for word in words[1:]])
        elif words[0] == "vt":
            coordinates.append([float(word) for word in words[1:3]])
        elif words[0] == "f":
            mapped = all("/" in word and word.split("/")[1] for word in words[1:] if word[0] != "#")
            _add_face(groups.setdefault((material, mapped), _Faces()), words[1:], len(positions), len(coordinates))
        elif words[0] == "usemtl":
            material = rest
        elif words[0] == "mtllib":
            libraries.append(rest)
    if not positions:
        return []
    vertices = np.array([p[:3] for p in positions], dtype=np.float64)
    colours = _vertex_colours(positions)
    uv = np.array([c if len(c) == 2 else [*c, 0.0] for c in coordinates], dtype=np.float64).reshape(-1, 2)
    if not groups:
        empty = np.zeros((0, 3), np.int64)
        return [Surface(vertices=vertices, faces=empty, colours=np.full_like(vertices, GREY, np.float32))]
    materials = _materials(path, libraries, say)
    plain = [m for m in materials.values() if m.image is None]
    if colours is not None and any(m.colour is not None and np.ptp([*m.colour, 1.0]) > 0 for m in plain):
        say(f"{path.name}: colours of its vertices are used; the colours (Kd) of its materials beside them are not")
    folder = TextureFolder(path, say)
    return [
        _surface(faces, vertices, colours, uv, materials.get(name or "", _Material()), folder)
        for (name, _), faces in groups.items()
    ]


def _surface(
    faces: _Faces, vertices: Float64, colours: Float32 | None, uv: Float64, material: _Material, folder: TextureFolder
) -> Surface:
    """The triangles of one material."""
    vertex, coordinate = (np.array(index, dtype=np.int64) for index in (faces.vertex, faces.coordinate))
    _check(vertex, len(vertices), "vertex")
    if (coordinate >= len(uv)).any():
        raise ValueError(f"a face with texture coordinate {coordinate.max() + 1} of {len(uv)}")
    corners, _ = triangulate(vertices[vertex], np.array(faces.sizes, dtype=np.int64))
    texture: UInt8 | None = None
    if material.image is not None and (coordinate >= 0).all():
        texture = folder.image(material.image)
    elif material.image is not None:
        folder.unmapped(material.image)
    if texture is None:
        if colours is None:
            colour = np.full(3, GREY) if material.colour is None else np.clip(material.colour, 0.0, 1.0)
            colours = np.broadcast_to(colour.astype(np.float32), vertices.shape)
        return Surface(vertices=vertices, faces=vertex[corners], colours=np.ascontiguousarray(colours))
    folder.beside_colours(colours)
    flat = corners.reshape(-1)
    mode = Wrap.CLAMP if material.clamped else Wrap.REPEAT
    texture, placed = folder.wrapped(
        _tinted(texture, material, folder),
        uv[coordinate[flat]] * material.scale + material.offset,
        WrapModes(u=mode, v=mode),
        name=material.image or "",
    )
    return Surface(
        vertices=vertices[vertex[flat]],
        faces=np.arange(len(flat)).reshape(-1, 3),
        colours=np.full((len(flat), 3), GREY, np.float32),
        uv=placed,
        texture=texture,
    )


def _tinted(texture: UInt8, material: _Material, folder: TextureFolder) -> UInt8:
    """The image times the material's colour; a grey is left out, which is told where it is not white."""
    if material.colour is None:
        return texture
    tint = np.clip(material.colour, 0.0, 1.0)
    if np.ptp(tint) <= _SAME_TINT:
        if tint.min() < 1.0 - _SAME_TINT:
            folder.beside_grey(material.image or "")
        return texture
    table = np.round(np.arange(256)[:, None] * tint).astype(np.uint8)
    return np.stack([table[texture[..., c], c] for c in range(3)], axis=-1)


def _check(index: Int64, count: int, what: str) -> None:
    if len(index) and (index.min() < 0 or index.max() >= count):
        wrong = index.min() if index.min() < 0 else index.max()
        raise ValueError(f"a face with {what} {wrong + 1} of {count}")


def _vertex_colours(positions: list[list[float]]) -> Float32 | None:
    """Colours ``(V, 3)`` after the positions, grey where a vertex has none; None where no vertex has one."""
    if not any(len(p) >= 6 for p in positions):
        return None
    given = np.array([p[3:6] if len(p) >= 6 else [np.nan] * 3 for p in positions], dtype=np.float64)
    highest = np.nanmax(given)
    return unit_range(np.where(np.isnan(given), GREY * (255.0 if highest > 1.0 else 1.0), given))


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _lines(path: Path) -> Iterator[tuple[list[str], str]]:
    """Words of each line, and what follows the first word; comments left out, continued lines joined."""
    for line in _text(path).replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            yield words, line.split(None, 1)[1].strip() if len(words) > 1 else ""


def _add_face(faces: _Faces, corners: list[str], vertex_count: int, coordinate_count: int) -> None:
    """One polygon of corners ``v``, ``v/vt``, ``v//vn`` or ``v/vt/vn``; counted from 1, from the end if negative."""
    size = 0
    for corner in corners:
        if corner.startswith("#"):
            break
        vertex, _, rest = corner.partition("/")
        coordinate = rest.partition("/")[0]
        faces.vertex.append(_index(vertex, vertex_count))
        faces.coordinate.append(_index(coordinate, coordinate_count) if coordinate else -1)
        size += 1
    faces.sizes.append(size)


def _index(text: str, count: int) -> int:
    number = int(text)
    if number < -count or number == 0:
        raise ValueError(f"a face with index {number}; indices count from 1")
    return number - 1 if number > 0 else count + number


def _materials(model: Path, libraries: list[str], say: Say) -> dict[str, _Material]:
    """By name, of all material files that the model names and that are there; a missing one is told."""
    materials: dict[str, _Material] = {}
    for library in dict.fromkeys(libraries):
        # One name, which may have spaces, or several names.
        names = [library] if beside(model, library) is not None else library.split()
        for name in names:
            path = beside(model, name)
            if path is None:
                say(f"{model.name}: its material file {name} was not found beside it, so its colours are not used")
                continue
            materials |= _library(path)
    return materials


def _library(path: Path) -> dict[str, _Material]:
    materials: dict[str, _Material] = {}
    current = _Material()
    for words, rest in _lines(path):
        key = words[0].lower()
        if key == "newmtl":
            current = materials[rest] = _Material()
        elif key == "kd" and len(words) >= 4 and _numbers(words[1:4]):
            current.colour = tuple(float(word) for word in words[1:4])
        elif key == "map_kd":
            _read_map(current, rest)
    return materials


def _read_map(material: _Material, text: str) -> None:
    """Options and file name of a ``map_Kd`` line; the name may have spaces."""
    while text.startswith("-"):
        option, _, text = text.partition(" ")
        values: list[str] = []
        while (words := text.split(None, 1)) and len(values) < _MAP_VALUES.get(option.lower(), 3):
            if option.lower() not in _MAP_VALUES and not _numbers(words[:1]):
                break
            values.append(words[0])
            text = words[1] if len(words) > 1 else ""
        if option.lower() in ("-s", "-o") and values:
            fill = 1.0 if option.lower() == "-s" else 0.0
            u, v = [*(float(value) for value in values[:2]), fill][:2]
            if option.lower() == "-s":
                material.scale = (u, v)
            else:
                material.offset = (u, v)
        elif option.lower() == "-clamp" and values:
            material.clamped = values[0].lower() == "on"
        text = text.strip()
    material.image = text or None


def _numbers(words: list[str]) -> bool:
    try:
        return all(np.isfinite(float(word)) for word in words)
    except ValueError:
        return False
