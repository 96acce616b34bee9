"""GLB files of a few arrays, written by hand so that a test decides every accessor, material and extension."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image

_COMPONENTS = {"f4": 5126, "u4": 5125, "u2": 5123, "i2": 5122, "u1": 5121, "i1": 5120}


class TinyGlb:
    """Add arrays and images, then write the JSON around them."""

    def __init__(self) -> None:
        self.data = b""
        self.json: dict[str, Any] = {"asset": {"version": "2.0"}, "bufferViews": [], "accessors": []}

    def view(self, data: bytes, **more: Any) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        self.json["bufferViews"].append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data), **more})
        self.data += data
        return len(self.json["bufferViews"]) - 1

    def accessor(self, array: NDArray[Any], **more: Any) -> int:
        kind = "SCALAR" if array.ndim == 1 else f"VEC{array.shape[1]}"
        self.json["accessors"].append(
            {
                "bufferView": self.view(array.tobytes()),
                "componentType": _COMPONENTS[array.dtype.str[1:]],
                "count": len(array),
                "type": kind,
                **more,
            }
        )
        return len(self.json["accessors"]) - 1

    def image(self, pixels: NDArray[np.uint8]) -> int:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        images = self.json.setdefault("images", [])
        images.append({"bufferView": self.view(stream.getvalue()), "mimeType": "image/png"})
        return len(images) - 1

    def write(
        self, path: Path, attributes: dict[str, int], *, node: dict[str, Any] | None = None, **more: Any
    ) -> Path:
        """A scene of one mesh with one primitive; ``more`` are keys of the primitive."""
        self.json |= {
            "meshes": [{"primitives": [{"attributes": attributes, **more}]}],
            "nodes": [{"mesh": 0, **(node or {})}],
            "scenes": [{"nodes": [0]}],
            "scene": 0,
            "buffers": [{"byteLength": len(self.data)}],
        }
        text = json.dumps(self.json).encode()
        text += b" " * (-len(text) % 4)
        data = self.data + b"\0" * (-len(self.data) % 4)
        head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(data))
        chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
        path.write_bytes(head + chunks)
        return path


def box_corners(size_m: tuple[float, float, float]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Corners ``(36, 3)`` of a box's triangles, and the side 0 to 5 that each is on."""
    box = trimesh.creation.box(size_m)
    normals = np.asarray(box.face_normals)
    side = np.argmax(np.abs(normals), axis=1) * 2 + (normals.sum(axis=1) > 0)
    return np.asarray(box.vertices, np.float32)[box.faces.reshape(-1)], np.repeat(side, 3)
