"""Reading GLB models (glTF 2.0): the scene's triangles with colours of vertices, material and texture.

Positions and coordinates may be quantised, sparse or interleaved; the texture may use any set of coordinates and a
transform. Colours of vertices and colour factors are linear in glTF and become sRGB, as images are. What is read of a
material is its base colour. Compressed geometry is refused, and what else is not read is told.
"""

from __future__ import annotations

import base64
import struct
import urllib.parse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.objects.colour_values import GREY, linear_from_srgb, srgb_from_linear
from storm_edge.objects.surface import Float32, Float64, Int64, Say, Surface, UInt8
from storm_edge.objects.texture_files import TextureFolder, beside
from storm_edge.objects.texture_wrap import Wrap, WrapModes
from storm_edge.parsing import parse_json

_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_WRAPS = {10497: Wrap.REPEAT, 33071: Wrap.CLAMP, 33648: Wrap.MIRROR}
_COMPRESSED = {
    "KHR_draco_mesh_compression": "Draco",
    "EXT_meshopt_compression": "meshopt",
    "KHR_meshopt_compression": "meshopt",
}
_READ = {
    "KHR_mesh_quantization",
    "KHR_texture_transform",
    "KHR_materials_pbrSpecularGlossiness",
    "KHR_materials_unlit",
    "EXT_texture_webp",
}
_WRITES_SRGB = "trimesh"
"""A writer whose colours of vertices and materials are sRGB, against the format, and whose factor beside a texture is
a stray grey."""


class CompressedModel(ValueError):
    """Geometry that is compressed; the message names the method."""


@dataclass(frozen=True, kw_only=True)
class _Texture:
    image: int
    coordinates: int
    """Which set, ``TEXCOORD_n``."""
    transform: Float64
    """Of coordinates ``(u, v, 1)``, v downwards, ``(2, 3)``."""
    wrap: WrapModes
    """What it shows beyond its edges."""


@dataclass(frozen=True, kw_only=True)
class _Material:
    name: str
    factor: Float64
    """Base colour [linear], ``(3,)``."""
    texture: _Texture | None


class _Glb:
    """A file's JSON, buffers and images."""

    def __init__(self, path: Path, say: Say) -> None:
        self.path = path
        self.say = say
        self.told: set[str] = set()
        self.json, self._chunk = _chunks(path.read_bytes())
        self.folder = TextureFolder(path, say)
        self.srgb = _WRITES_SRGB in str(self.json.get("asset", {}).get("generator", ""))
        self._images: dict[int, UInt8 | None] = {}

    def note(self, text: str) -> None:
        """Tell it once."""
        if text not in self.told:
            self.told.add(text)
            self.say(f"{self.path.name}: {text}")

    def image(self, index: int) -> UInt8 | None:
        """RGB of an image of the file or beside it, or None, which was told."""
        if index not in self._images:
            image = self.json["images"][index]
            uri = urllib.parse.unquote(image.get("uri", "")) if not str(image.get("uri")).startswith("data:") else ""
            name = uri or image.get("name") or f"number {index}"
            if uri:
                self._images[index] = self.folder.image(uri)
            else:
                data = _data_uri(image["uri"]) if "uri" in image else self.view(image["bufferView"])
                self._images[index] = self.folder.decoded(data, name)
        return self._images[index]

    def view(self, index: int) -> bytes:
        """Bytes of a buffer view."""
        view = self.json["bufferViews"][index]
        if not _COMPRESSED.keys().isdisjoint(view.get("extensions", {})):
            raise CompressedModel("meshopt")
        buffer = self.json["buffers"][view["buffer"]]
        uri = buffer.get("uri")
        if uri is None:
            data = self._chunk
        elif uri.startswith("data:"):
            data = _data_uri(uri)
        else:
            path = beside(self.path, urllib.parse.unquote(uri))
            if path is None:
                raise ValueError(f"its buffer {uri} is not beside it")
            data = path.read_bytes()
        start = view.get("byteOffset", 0)
        if start < 0 or start + view["byteLength"] > len(data):
            raise ValueError("the file is shorter than it says")
        return data[start : start + view["byteLength"]]

    def accessor(self, index: int) -> NDArray[Any]:
        """Rows ``(N, width)`` of an accessor; whole numbers that stand for a share of 1 become that."""
        accessor = self.json["accessors"][index]
        kind = np.dtype(_TYPES[accessor["componentType"]])
        count, width = int(accessor["count"]), _WIDTHS[accessor["type"]]
        if "bufferView" in accessor:
            view = self.json["bufferViews"][accessor["bufferView"]]
            data = self.view(accessor["bufferView"])
            rows = _rows(data, accessor.get("byteOffset", 0), view.get("byteStride"), kind, count, width)
        else:
            if count > 50_000_000:
                raise ValueError(f"{count} rows without data")
            rows = np.zeros((count, width), kind)
        if "sparse" in accessor:
            rows = self._with_sparse(rows.copy(), accessor["sparse"])
        if accessor.get("normalized") and kind.kind in "iu":
            return np.maximum(rows.astype(np.float64) / np.iinfo(kind).max, -1.0)
        return rows

    def _with_sparse(self, rows: NDArray[Any], sparse: dict[str, Any]) -> NDArray[Any]:
        count, where, what = sparse["count"], sparse["indices"], sparse["values"]
        kind = np.dtype(_TYPES[where["componentType"]])
        index = _rows(self.view(where["bufferView"]), where.get("byteOffset", 0), None, kind, count, 1)[:, 0]
        data = self.view(what["bufferView"])
        rows[index] = _rows(data, what.get("byteOffset", 0), None, rows.dtype, count, rows.shape[1])
        return rows


def read_glb(path: Path, say: Say) -> list[Surface]:
    """The surfaces of a GLB file's scene in its own unit, in their places.

    Raises:
        CompressedModel: Its geometry is compressed.
        ValueError: The file is broken.
    """
    glb = _Glb(path, say)
    required = glb.json.get("extensionsRequired", [])
    for name in required:
        if name in _COMPRESSED:
            raise CompressedModel(_COMPRESSED[name])
    for name in sorted(set(required) - _READ - {"KHR_texture_basisu"}):
        glb.note(f"it needs the glTF extension {name}, which is not read; the model may look different")
    parts: list[Surface] = []
    for mesh, T_scene_mesh in _placed(glb.json):
        for primitive in glb.json["meshes"][mesh]["primitives"]:
            parts += [_moved(part, T_scene_mesh) for part in _primitive(glb, primitive)]
    return parts


def _primitive(glb: _Glb, primitive: dict[str, Any]) -> list[Surface]:
    """The triangles of a primitive in its mesh's frame; its points, if it has no triangles; nothing for lines."""
    attributes = primitive.get("attributes", {})
    mode = primitive.get("mode", _TRIANGLES)
    if "POSITION" not in attributes or mode in (1, 2, 3):
        return []
    draco = "KHR_draco_mesh_compression" in primitive.get("extensions", {})
    if draco and "bufferView" not in glb.json["accessors"][attributes["POSITION"]]:
        raise CompressedModel("Draco")
    vertices = glb.accessor(attributes["POSITION"]).astype(np.float64)
    if "indices" in primitive:
        index = glb.accessor(primitive["indices"])[:, 0].astype(np.int64)
    else:
        index = np.arange(len(vertices))
    faces = _faces(index, mode)
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise ValueError(f"a face with vertex {faces.max()} of {len(vertices)}")
    material = _material(glb, primitive.get("material"))
    own = _vertex_colours(glb, attributes, len(vertices))
    texture, uv = _texture(glb, material, attributes, len(vertices)) if material is not None else (None, None)
    if texture is None:
        colours = _colours(glb, material, own, len(vertices))
        return [Surface(vertices=vertices, faces=faces, colours=colours)]
    assert material is not None
    tint = material.factor if not glb.srgb else np.ones(3)
    glb.folder.beside_colours(own)
    if own is not None and not glb.srgb and np.ptp(own, axis=0).max() <= 1e-3:
        tint = tint * own[0]
    if np.abs(tint - 1.0).max() > 1e-3:
        table = linear_from_srgb(np.arange(256) / 255.0)[:, None] * tint
        table8 = np.round(srgb_from_linear(table) * 255.0).astype(np.uint8)
        texture = np.stack([table8[texture[..., c], c] for c in range(3)], axis=-1)
    grey = np.full((len(vertices), 3), GREY, np.float32)
    return [Surface(vertices=vertices, faces=faces, colours=grey, uv=uv, texture=texture)]


def _faces(index: Int64, mode: int) -> Int64:
    if mode == _TRIANGLES:
        return index[: len(index) // 3 * 3].reshape(-1, 3)
    if mode == _STRIP and len(index) >= 3:
        faces = np.stack([index[:-2], index[1:-1], index[2:]], axis=1)
        faces[1::2] = faces[1::2, [1, 0, 2]]
        return faces
    if mode == _FAN and len(index) >= 3:
        return np.stack([np.full(len(index) - 2, index[0]), index[1:-1], index[2:]], axis=1)
    return np.zeros((0, 3), np.int64)


def _vertex_colours(glb: _Glb, attributes: dict[str, int], count: int) -> Float64 | None:
    """Colours of the vertices as the file has them ``(V, 3)``, in [0, 1]."""
    if "COLOR_0" not in attributes:
        return None
    values = glb.accessor(attributes["COLOR_0"])
    if len(values) != count or values.shape[1] < 3:
        return None
    full = (
        np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1.0
    )  # whole numbers that are not marked as such
    return np.clip(np.nan_to_num(values[:, :3].astype(np.float64) / full, nan=float(GREY)), 0.0, 1.0)


def _colours(glb: _Glb, material: _Material | None, own: Float64 | None, count: int) -> Float32:
    """SRGB of the vertices ``(V, 3)``: their own colours times the material's, or what there is of them."""
    if own is None and material is None:
        return np.full((count, 3), GREY, np.float32)
    colours = np.ones((count, 3)) if own is None else own
    if material is not None and not (glb.srgb and own is not None):
        colours = colours * material.factor
    return colours.astype(np.float32) if glb.srgb else srgb_from_linear(colours)


def _texture(
    glb: _Glb, material: _Material, attributes: dict[str, int], count: int
) -> tuple[UInt8 | None, Float64 | None]:
    """Image and coordinates ``(V, 2)``, v upwards, of a material's texture; None where it has none to be used."""
    texture = material.texture
    if texture is None:
        return None, None
    name = f"TEXCOORD_{texture.coordinates}"
    uv = glb.accessor(attributes[name]).astype(np.float64) if name in attributes else np.zeros((0, 2))
    if len(uv) != count or uv.shape[1] != 2:
        glb.note(f"the texture of material {material.name} is not used: the model lacks its coordinates {name}")
        return None, None
    image = glb.image(texture.image)
    if image is None:
        return None, None
    uv = uv @ texture.transform[:, :2].T + texture.transform[:, 2]
    upwards = np.stack([uv[:, 0], 1.0 - uv[:, 1]], axis=1)
    return glb.folder.wrapped(image, upwards, texture.wrap, name=f"of material {material.name}")


def _material(glb: _Glb, index: int | None) -> _Material | None:
    if index is None:
        return None
    material = glb.json["materials"][index]
    base = material.get("pbrMetallicRoughness", {})
    factor, texture = base.get("baseColorFactor", [1.0] * 4), base.get("baseColorTexture")
    glossy = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness")
    if glossy is not None and texture is None and "baseColorFactor" not in base:
        factor, texture = glossy.get("diffuseFactor", [1.0] * 4), glossy.get("diffuseTexture")
    name = str(material.get("name") or index)
    return _Material(
        name=name,
        factor=np.clip(np.asarray(factor[:3], dtype=np.float64), 0.0, 1.0),
        texture=None if texture is None else _texture_of(glb, texture, name),
    )


def _texture_of(glb: _Glb, info: dict[str, Any], material: str) -> _Texture | None:
    """What a material says of its texture; None, which is told, if its image is of a kind that is not read."""
    texture = glb.json["textures"][info["index"]]
    extensions = texture.get("extensions", {})
    image = extensions.get("EXT_texture_webp", {}).get("source", texture.get("source"))
    if image is None:
        kind = "KTX2" if "KHR_texture_basisu" in extensions else "none that is read"
        glb.note(
            f"the texture of material {material} is not used: its image is {kind}; save the model with PNG or JPEG"
        )
        return None
    transform = info.get("extensions", {}).get("KHR_texture_transform", {})
    u, v = transform.get("offset", (0.0, 0.0))
    su, sv = transform.get("scale", (1.0, 1.0))
    turn = float(transform.get("rotation", 0.0))
    c, s = np.cos(turn), np.sin(turn)
    sampler = glb.json["samplers"][texture["sampler"]] if "sampler" in texture else {}
    return _Texture(
        image=image,
        coordinates=transform.get("texCoord", info.get("texCoord", 0)),
        transform=np.array([[c * su, s * sv, u], [-s * su, c * sv, v]], dtype=np.float64),
        wrap=WrapModes(
            u=_WRAPS.get(sampler.get("wrapS", 0), Wrap.REPEAT), v=_WRAPS.get(sampler.get("wrapT", 0), Wrap.REPEAT)
        ),
    )


def _placed(gltf: dict[str, Any]) -> list[tuple[int, Float64]]:
    """Every mesh of the scene with its place ``T_scene_mesh`` ``(4, 4)``; all meshes where there is no scene."""
    nodes = gltf.get("nodes", [])
    scenes = gltf.get("scenes", [])
    if not scenes:
        return [(index, np.eye(4)) for index in range(len(gltf.get("meshes", [])))]
    placed = []
    pending = [(node, np.eye(4), 0) for node in reversed(scenes[gltf.get("scene", 0)].get("nodes", []))]
    visits = 0
    while pending:
        index, T_scene_parent, depth = pending.pop()
        visits += 1
        if depth > len(nodes) or visits > 100_000:
            raise ValueError("its nodes go round in a circle")
        node = nodes[index]
        T_scene_node = T_scene_parent @ _T_parent_node(node)
        if "mesh" in node:
            placed.append((node["mesh"], T_scene_node))
        pending += [(child, T_scene_node, depth + 1) for child in reversed(node.get("children", []))]
    return placed


def _T_parent_node(node: dict[str, Any]) -> Float64:
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape((4, 4), order="F")
    x, y, z, w = np.asarray(node.get("rotation", (0.0, 0.0, 0.0, 1.0)), dtype=np.float64)
    T = np.eye(4)
    T[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    T[:3, :3] *= np.asarray(node.get("scale", (1.0, 1.0, 1.0)), dtype=np.float64)
    T[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return T


def _moved(part: Surface, T: Float64) -> Surface:
    """The surface in its place; a mirrored one has its faces turned, so that they look outwards again."""
    faces = part.faces[:, ::-1] if np.linalg.det(T[:3, :3]) < 0.0 else part.faces
    return replace(part, vertices=part.vertices @ T[:3, :3].T + T[:3, 3], faces=faces)


def _rows(data: bytes, start: int, stride: int | None, kind: np.dtype[Any], count: int, width: int) -> NDArray[Any]:
    """Rows ``(count, width)`` that lie ``stride`` bytes apart, or one after another."""
    size = kind.itemsize * width
    step = stride or size
    if count < 1 or step < size or start < 0 or start + (count - 1) * step + size > len(data):
        raise ValueError("the file is shorter than it says")
    rows: NDArray[Any] = np.ndarray((count, width), kind, data, start, (step, kind.itemsize))
    return rows


def _data_uri(uri: str) -> bytes:
    head, _, body = uri.partition(",")
    return base64.b64decode(body) if head.endswith(";base64") else urllib.parse.unquote_to_bytes(body)


def _chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary chunk of a GLB file."""
    if data.lstrip()[:1] == b"{":
        raise ValueError("it is a text glTF; save it as binary glTF")
    if len(data) < 20 or data[:4] != b"glTF":
        raise ValueError("no glTF header")
    version = struct.unpack_from("<I", data, 4)[0]
    if version != 2:
        raise ValueError(f"glTF version {version}; only 2 is read")
    chunks: dict[bytes, bytes] = {}
    start = 12
    while start + 8 <= len(data):
        length, kind = struct.unpack_from("<I4s", data, start)
        if start + 8 + length > len(data):
            raise ValueError("the file is shorter than it says")
        chunks.setdefault(kind, data[start + 8 : start + 8 + length])
        start += 8 + length + (-length) % 4
    gltf = parse_json(chunks[b"JSON"])
    if not isinstance(gltf, dict):
        raise ValueError("its JSON is no glTF")
    return gltf, chunks.get(b"BIN\0", b"")
