"""Reading PLY models: text and binary of either byte order, polygons, colours of vertices or faces, textures.

Writing is `ply`. What PLY does not fix is read under every name in use: colours as ``red``, ``diffuse_red`` or ``r``,
texture coordinates of vertices or of a face's corners.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.objects.colour_values import GREY, unit_range
from storm_edge.objects.polygons import triangulate
from storm_edge.objects.surface import Float32, Float64, Int64, Say, Surface, UInt8
from storm_edge.objects.texture_files import TextureFolder

_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
    "int64": "i8",
    "uint64": "u8",
}
_COLOURS = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
_COORDINATES = (("texture_u", "texture_v"), ("u", "v"), ("s", "t"), ("texcoord_u", "texcoord_v"))
_INDICES = ("vertex_indices", "vertex_index")


@dataclass
class _Property:
    name: str
    item: str
    """Type of the value, or of the list's items, without byte order."""
    count: str | None = None
    """Type of the list's length; None for a single value."""


@dataclass
class _Element:
    name: str
    length: int
    properties: list[_Property] = field(default_factory=list)


@dataclass(frozen=True)
class _Lists:
    """Lists of different lengths: ``values`` one after another, and how many each row has."""

    values: NDArray[Any]
    sizes: Int64


@dataclass(frozen=True)
class _Table:
    columns: dict[str, NDArray[Any]]
    lists: dict[str, _Lists]


def read_ply(path: Path, say: Say) -> list[Surface]:
    """The surfaces of a PLY file in its own unit, one per texture image.

    Raises:
        ValueError: The file is broken or short.
    """
    data = path.read_bytes()
    encoding, elements, images, start = _header(data)
    body = data[start:]
    tables = _text_tables(body, elements) if encoding == "ascii" else _binary_tables(body, elements, encoding)
    if "vertex" not in tables:
        return []
    vertex = tables["vertex"]
    positions = np.stack([vertex.columns[axis].astype(np.float64) for axis in "xyz"], axis=1)
    face = tables.get("face")
    lists = [] if face is None else [*_INDICES, *(name for name in face.lists if name != "texcoord")]
    name = next((name for name in lists if face is not None and name in face.lists), None)
    if face is None or name is None:
        empty = np.zeros((0, 3), np.int64)
        return [Surface(vertices=positions, faces=empty, colours=np.full_like(positions, GREY, np.float32))]
    return _surfaces(positions, vertex, face, name, images, TextureFolder(path, say))


def _surfaces(
    positions: Float64, vertex: _Table, face: _Table, name: str, images: list[str], folder: TextureFolder
) -> list[Surface]:
    index = face.lists[name].values.astype(np.int64)
    sizes = face.lists[name].sizes
    if len(index) and (index.min() < 0 or index.max() >= len(positions)):
        wrong = index.min() if index.min() < 0 else index.max()
        raise ValueError(f"a face with vertex {wrong} of {len(positions)}")
    corners, owner = triangulate(positions[index], sizes)
    colours = _corner_colours(vertex, face, index, sizes)
    uv = _corner_uv(vertex, face, index, sizes)
    number = face.columns.get("texnumber", np.zeros(len(sizes), np.int64)).astype(np.int64)[owner]
    parts = []
    for which in np.unique(number) if uv is not None and len(images) > 1 else [None]:
        chosen = corners if which is None else corners[number == which]
        which = 0 if which is None else int(which)
        texture: UInt8 | None = None
        if uv is not None and 0 <= which < len(images):
            texture = folder.image(images[which])
            if texture is not None:
                folder.beside_colours(colours.values)
        flat = chosen.reshape(-1)
        split = colours.of_corners or texture is not None  # else vertices stay shared, as in the file
        parts.append(
            Surface(
                vertices=positions[index[flat]] if split else positions,
                faces=np.arange(len(flat)).reshape(-1, 3) if split else index[chosen],
                colours=colours.of(flat, index) if split else colours.values,
                uv=uv[flat] if texture is not None and uv is not None else None,
                texture=texture,
            )
        )
    return parts


@dataclass(frozen=True)
class _Colours:
    values: Float32
    of_corners: bool
    """Whether there is one per corner; else one per vertex."""

    def of(self, corners: Int64, index: Int64) -> Float32:
        """Colours of some corners, of which ``index`` says the vertex."""
        return self.values[corners] if self.of_corners else self.values[index[corners]]


def _corner_colours(vertex: _Table, face: _Table, index: Int64, sizes: Int64) -> _Colours:
    """Vertex colours; colours of the faces where there are none, or all the same."""
    of_vertices, of_faces = _colours(vertex), _colours(face)
    if of_faces is not None and (of_vertices is None or not np.ptp(of_vertices, axis=0).any()):
        return _Colours(np.repeat(of_faces, sizes, axis=0), True)
    if of_vertices is None:
        of_vertices = np.full((len(next(iter(vertex.columns.values()))), 3), GREY, np.float32)
    return _Colours(of_vertices, False)


def _colours(table: _Table) -> Float32 | None:
    for names in _COLOURS:
        if all(name in table.columns for name in names):
            return unit_range(np.stack([table.columns[name] for name in names], axis=1))
    return None


def _corner_uv(vertex: _Table, face: _Table, index: Int64, sizes: Int64) -> Float64 | None:
    """Texture coordinates of all corners ``(C, 2)``, if there are any."""
    listed = face.lists.get("texcoord")
    if listed is not None and (listed.sizes == 2 * sizes).all():
        return listed.values.astype(np.float64).reshape(-1, 2)
    for names in _COORDINATES:
        if all(name in vertex.columns for name in names):
            return np.stack([vertex.columns[name].astype(np.float64) for name in names], axis=1)[index]
    return None


def _header(data: bytes) -> tuple[str, list[_Element], list[str], int]:
    """Encoding, elements, names of texture images, and where the data begins."""
    end = re.search(rb"(?m)^\s*end_header[ \t]*(\r\n|\n|\r)", data)
    if not data.lstrip()[:3].lower() == b"ply" or end is None:
        raise ValueError("no PLY header")
    encoding, elements, images = "", [], []
    for line in data[: end.start()].decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "format":
            encoding = words[1].lower()
        elif len(words) == 3 and words[0] == "element":
            elements.append(_Element(words[1], int(words[2])))
        elif len(words) >= 3 and words[0] == "property":
            elements[-1].properties.append(_property(words))
        elif (
            len(words) >= 3 and words[0] in ("comment", "obj_info") and words[1].lower().rstrip(":") == "texturefile"
        ):
            images.append(line.split(None, 2)[2].strip())
    if encoding not in ("ascii", "binary_little_endian", "binary_big_endian"):
        raise ValueError(f"unknown PLY format '{encoding}'")
    if any(element.length < 0 for element in elements):
        raise ValueError("an element of negative length")
    return encoding, elements, images, end.end()


def _property(words: list[str]) -> _Property:
    if words[1] == "list" and len(words) == 5:
        return _Property(words[4].lower(), _TYPES[words[3]], _TYPES[words[2]])
    return _Property(words[2].lower(), _TYPES[words[1]])


def _text_tables(body: bytes, elements: list[_Element]) -> dict[str, _Table]:
    numbers = np.array(body.split(), dtype=np.float64)
    tables: dict[str, _Table] = {}
    start = 0
    for element in elements:
        if element.length == 0:
            continue
        table, start = _numbers_table(numbers, start, element)
        tables.setdefault(element.name, table)
    return tables


def _numbers_table(numbers: Float64, start: int, element: _Element) -> tuple[_Table, int]:
    """Rows of one element from a text file's numbers; those of equal lengths at once."""
    widths = _first_widths(element, lambda at: float(numbers[start + at]))
    total = sum(widths) * element.length
    if start + total <= len(numbers):
        block = numbers[start : start + total].reshape(element.length, -1)
        at = np.cumsum([0, *widths])
        lists = {k: p for k, p in enumerate(element.properties) if p.count is not None}
        if all((block[:, at[k]] == widths[k] - 1).all() for k in lists):
            columns = {
                p.name: block[:, at[k]].astype(p.item) for k, p in enumerate(element.properties) if p.count is None
            }
            return _Table(
                columns,
                {
                    p.name: _Lists(
                        block[:, at[k] + 1 : at[k + 1]].reshape(-1).astype(p.item),
                        np.full(element.length, widths[k] - 1, np.int64),
                    )
                    for k, p in lists.items()
                },
            ), start + total
    rows: list[list[Any]] = [[] for _ in element.properties]
    for _ in range(element.length):
        for values, p in zip(rows, element.properties, strict=True):
            if start >= len(numbers):
                raise ValueError("the file is shorter than its header says")
            if p.count is None:
                values.append(numbers[start])
                start += 1
            else:
                size = int(numbers[start])
                if size < 0 or start + 1 + size > len(numbers):
                    raise ValueError("the file is shorter than its header says")
                values.append(numbers[start + 1 : start + 1 + size])
                start += 1 + size
    return _gathered(rows, element), start


def _first_widths(element: _Element, number: Any) -> list[int]:
    """How many numbers each property of the first row takes."""
    widths: list[int] = []
    for p in element.properties:
        widths.append(1 if p.count is None else 1 + max(0, int(number(sum(widths)))))
    return widths


def _binary_tables(body: bytes, elements: list[_Element], encoding: str) -> dict[str, _Table]:
    order = "<" if encoding == "binary_little_endian" else ">"
    tables: dict[str, _Table] = {}
    start = 0
    for element in elements:
        if element.length == 0:
            continue
        table, start = _binary_table(body, start, element, order)
        tables.setdefault(element.name, table)
    return tables


def _binary_table(body: bytes, start: int, element: _Element, order: str) -> tuple[_Table, int]:
    """Rows of one element; those of equal lengths at once."""
    fields: list[tuple[Any, ...]] = []
    for k, p in enumerate(element.properties):
        if p.count is not None:
            size = int(np.frombuffer(body, order + p.count, 1, start + np.dtype(fields).itemsize)[0])
            fields += [(f"count{k}", order + p.count), (f"value{k}", order + p.item, (max(0, size),))]
        else:
            fields.append((f"value{k}", order + p.item))
    row = np.dtype(fields)
    total = row.itemsize * element.length
    lists = {k: p for k, p in enumerate(element.properties) if p.count is not None}
    if start + total <= len(body):
        rows = np.frombuffer(body, row, element.length, start)
        sizes = {k: rows[f"count{k}"].astype(np.int64) for k in lists}
        if all((sizes[k] == row[f"value{k}"].shape[0]).all() for k in lists):
            columns = {p.name: rows[f"value{k}"] for k, p in enumerate(element.properties) if p.count is None}
            return _Table(
                columns, {p.name: _Lists(rows[f"value{k}"].reshape(-1), sizes[k]) for k, p in lists.items()}
            ), start + total
    if not lists:
        raise ValueError("the file is shorter than its header says")
    gathered: list[list[Any]] = [[] for _ in element.properties]
    types = [(np.dtype(order + p.count) if p.count else None, np.dtype(order + p.item)) for p in element.properties]
    for _ in range(element.length):
        for values, (count, item) in zip(gathered, types, strict=True):
            size = 1
            if count is not None:
                size = int(np.frombuffer(body, count, 1, start)[0])
                start += count.itemsize
            if size < 0 or start + size * item.itemsize > len(body):
                raise ValueError("the file is shorter than its header says")
            value = np.frombuffer(body, item, size, start)
            values.append(value if count is not None else value[0])
            start += size * item.itemsize
    return _gathered(gathered, element), start


def _gathered(rows: list[list[Any]], element: _Element) -> _Table:
    columns, lists = {}, {}
    for values, p in zip(rows, element.properties, strict=True):
        if p.count is None:
            columns[p.name] = np.array(values).astype(p.item)
        else:
            sizes = np.array([len(value) for value in values], dtype=np.int64)
            lists[p.name] = _Lists(np.concatenate(values).astype(p.item), sizes)
    return _Table(columns, lists)
