"""GLB files are written here accessor by accessor; the right answers follow from the glTF 2.0 specification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storm_edge.errors import MeshError, UnitError
from storm_edge.geometry.mesh import Mesh
from storm_edge.objects.colour_values import linear_from_srgb, srgb_from_linear
from storm_edge.objects.mesh_io import load_mesh
from storm_edge.objects.texture_wrap import Wrap, WrapModes
from tests.objects.test_ply_file import PALETTE, colours_of
from tests.objects.test_texture_wrap import sampled
from tests.objects.tiny_glb import TinyGlb, box_corners

SIZE_M = (0.10, 0.06, 0.14)
CORNERS_M, SIDE = box_corners(SIZE_M)
UV = np.random.default_rng(1).random((36, 2)).astype(np.float32)
PICTURE = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
LINEAR = linear_from_srgb(PALETTE[SIDE] / 255.0)


def uv_of(mesh: Mesh) -> np.ndarray[Any, Any]:
    """Coordinates of the corners as glTF counts them, v downwards."""
    assert mesh.uv is not None
    return mesh.uv[mesh.faces].reshape(-1, 2) * [1, -1] + [0, 1]


def test_srgb_and_linear_are_inverse() -> None:
    values = np.linspace(0.0, 1.0, 256)
    np.testing.assert_allclose(srgb_from_linear(linear_from_srgb(values)), values, atol=1e-6)
    assert srgb_from_linear(np.array(0.5)) == pytest.approx(0.7354, abs=1e-4)


@pytest.mark.parametrize("kind", ["f4", "u2", "u1"])
@pytest.mark.parametrize("factor", [None, [0.5, 1.0, 0.25, 1.0]])
def test_colours_of_vertices_times_the_materials_factor(
    tmp_path: Path, kind: str, factor: list[float] | None
) -> None:
    """They used to become the material's colour, and linear numbers were taken for sRGB."""
    glb = TinyGlb()
    full = 1.0 if kind == "f4" else np.iinfo(kind).max
    stored = (np.c_[LINEAR, np.ones(36)] * full + (0.0 if kind == "f4" else 0.5)).astype(kind)
    colour = glb.accessor(stored, normalized=kind != "f4")
    glb.json["materials"] = [{"pbrMetallicRoughness": {"baseColorFactor": factor} if factor else {}}]
    path = glb.write(tmp_path / "box.glb", {"POSITION": glb.accessor(CORNERS_M), "COLOR_0": colour}, material=0)
    said: list[str] = []
    mesh = load_mesh(path, "m", say=said.append)
    expected = srgb_from_linear(LINEAR * (factor or [1.0] * 4)[:3])
    atol = 0.03 if kind == "u1" else 1e-3  # a byte of linear light is coarse in the dark
    np.testing.assert_allclose(mesh.colours[mesh.faces].reshape(-1, 3), expected, atol=atol)
    assert not said


def test_a_factor_alone_is_linear(tmp_path: Path) -> None:
    glb = TinyGlb()
    glb.json["materials"] = [{"pbrMetallicRoughness": {"baseColorFactor": [0.5, 0.0, 1.0, 1.0]}}]
    mesh = load_mesh(glb.write(tmp_path / "box.glb", {"POSITION": glb.accessor(CORNERS_M)}, material=0), "m")
    np.testing.assert_array_equal(colours_of(mesh), [[188, 0, 255]])


@pytest.mark.parametrize(("kind", "corner"), [("i2", 32767), ("i1", 127), ("u2", 65535)])
def test_quantised_positions_have_the_right_size(tmp_path: Path, kind: str, corner: int) -> None:
    """A box of 140 mm used to be kilometres large."""
    glb = TinyGlb()
    glb.json |= {"extensionsUsed": ["KHR_mesh_quantization"], "extensionsRequired": ["KHR_mesh_quantization"]}
    share = CORNERS_M / SIZE_M + (0.5 if kind == "u2" else 0.0)  # -0.5..0.5, or 0..1
    stored = np.round(share * corner).astype(kind)
    path = glb.write(
        tmp_path / "box.glb", {"POSITION": glb.accessor(stored, normalized=True)}, node={"scale": list(SIZE_M)}
    )
    low, high = load_mesh(path, "m").bounds()
    np.testing.assert_allclose(high - low, SIZE_M, rtol=0.02 if kind == "i1" else 1e-4)


def test_a_size_that_nothing_has_is_refused(tmp_path: Path) -> None:
    glb = TinyGlb()
    path = glb.write(tmp_path / "box.glb", {"POSITION": glb.accessor(CORNERS_M)}, node={"scale": [4e4] * 3})
    with pytest.raises(UnitError, match=r"box\.glb: got a length of 5600 m .* scale the model"):
        load_mesh(path, "m")


def textured(glb: TinyGlb, info: dict[str, Any], factor: list[float] | None = None) -> None:
    glb.json["textures"] = [{"source": glb.image(PICTURE)}]
    base: dict[str, Any] = {"baseColorTexture": {"index": 0, **info}}
    glb.json["materials"] = [{"name": "paint", "pbrMetallicRoughness": base}]
    if factor is not None:
        base["baseColorFactor"] = factor


def test_a_texture_transform_moves_the_coordinates(tmp_path: Path) -> None:
    """A quarter turn, after the scale: (u, v) -> (3 v, -2 u) plus the offset."""
    glb = TinyGlb()
    transform = {"offset": [0.1, 0.2], "rotation": np.pi / 2, "scale": [2.0, 3.0]}
    textured(glb, {"extensions": {"KHR_texture_transform": transform}})
    attributes = {"POSITION": glb.accessor(CORNERS_M), "TEXCOORD_0": glb.accessor(UV)}
    mesh = load_mesh(glb.write(tmp_path / "box.glb", attributes, material=0), "m")
    expected = np.stack([3.0 * UV[:, 1] + 0.1, -2.0 * UV[:, 0] + 0.2], axis=1)
    np.testing.assert_allclose(uv_of(mesh), expected, atol=1e-5)


@pytest.mark.parametrize("by_transform", [False, True])
def test_the_second_set_of_coordinates(tmp_path: Path, by_transform: bool) -> None:
    glb = TinyGlb()
    info = {"texCoord": 1} if not by_transform else {"extensions": {"KHR_texture_transform": {"texCoord": 1}}}
    textured(glb, info)
    words = np.round(UV * 65535).astype(np.uint16)
    attributes = {"POSITION": glb.accessor(CORNERS_M), "TEXCOORD_0": glb.accessor(np.zeros_like(UV))}
    path = tmp_path / "box.glb"
    said: list[str] = []
    assert load_mesh(glb.write(path, attributes, material=0), "m", say=said.append).texture is None
    assert len(said) == 1
    assert "TEXCOORD_1" in said[0]
    attributes["TEXCOORD_1"] = glb.accessor(words, normalized=True)
    mesh = load_mesh(glb.write(path, attributes, material=0), "m", say=said.append)
    np.testing.assert_allclose(uv_of(mesh), UV, atol=2e-5)
    assert len(said) == 1


def test_a_factor_tints_the_texture(tmp_path: Path) -> None:
    glb = TinyGlb()
    textured(glb, {}, factor=[1.0, 0.5, 0.0, 1.0])
    attributes = {"POSITION": glb.accessor(CORNERS_M), "TEXCOORD_0": glb.accessor(UV)}
    mesh = load_mesh(glb.write(tmp_path / "box.glb", attributes, material=0), "m")
    expected = srgb_from_linear(linear_from_srgb(PICTURE / 255.0) * [1.0, 0.5, 0.0]) * 255.0
    assert mesh.texture is not None
    np.testing.assert_allclose(mesh.texture, expected, atol=0.51)


@pytest.mark.parametrize(
    ("sampler", "modes"),
    [
        ({}, WrapModes()),
        ({"wrapS": 10497, "wrapT": 33071}, WrapModes(v=Wrap.CLAMP)),
        ({"wrapS": 33648, "wrapT": 33071}, WrapModes(u=Wrap.MIRROR, v=Wrap.CLAMP)),
    ],
)
def test_a_sampler_says_what_lies_beyond_the_edges(tmp_path: Path, sampler: dict[str, int], modes: WrapModes) -> None:
    """Every texture used to repeat."""
    glb = TinyGlb()
    textured(glb, {})
    glb.json["samplers"] = [sampler]
    glb.json["textures"][0]["sampler"] = 0
    uv = (3.0 * UV - 1.0).astype(np.float32)
    attributes = {"POSITION": glb.accessor(CORNERS_M), "TEXCOORD_0": glb.accessor(uv)}
    said: list[str] = []
    mesh = load_mesh(glb.write(tmp_path / "box.glb", attributes, material=0), "m", say=said.append)
    assert mesh.texture is not None
    assert mesh.uv is not None
    shown = sampled(mesh.texture, mesh.uv[mesh.faces.reshape(-1)].astype(np.float64), WrapModes())
    upwards = np.stack([uv[:, 0], 1.0 - uv[:, 1]], axis=1).astype(np.float64)
    np.testing.assert_allclose(shown, sampled(PICTURE, upwards, modes), atol=0.05)
    assert not said
    far = {"POSITION": glb.accessor(CORNERS_M), "TEXCOORD_0": glb.accessor(uv * np.float32(20.0))}
    load_mesh(glb.write(tmp_path / "box.glb", far, material=0), "m", say=said.append)
    assert len(said) == (1 if modes.v is Wrap.CLAMP else 0)


def test_what_is_not_used_is_told_once_each(tmp_path: Path) -> None:
    glb = TinyGlb()
    textured(glb, {})
    glb.json["extensionsRequired"] = ["EXT_unheard_of"]
    glb.json["textures"] = [{"source": 0}]
    glb.json["images"] = [{"uri": "my%20print.png"}]
    colour = glb.accessor(LINEAR.astype(np.float32))
    attributes = {"POSITION": glb.accessor(CORNERS_M), "TEXCOORD_0": glb.accessor(UV), "COLOR_0": colour}
    said: list[str] = []
    mesh = load_mesh(glb.write(tmp_path / "box.glb", attributes, material=0), "m", say=said.append)
    np.testing.assert_array_equal(colours_of(mesh), np.unique(PALETTE, axis=0))
    assert len(said) == 2
    assert "EXT_unheard_of" in said[0]
    assert "my print.png was not found" in said[1]
    glb.json["images"] = [{"bufferView": glb.view(b"no image"), "mimeType": "image/ktx2", "name": "print"}]
    said.clear()
    load_mesh(glb.write(tmp_path / "box.glb", attributes, material=0), "m", say=said.append)
    assert "print cannot be read" in said[1]


@pytest.mark.parametrize(
    ("extension", "word"), [("KHR_draco_mesh_compression", "Draco"), ("EXT_meshopt_compression", "meshopt")]
)
@pytest.mark.parametrize("required", [False, True])
def test_compressed_geometry_is_refused_by_name(tmp_path: Path, extension: str, word: str, required: bool) -> None:
    glb = TinyGlb()
    position = glb.accessor(CORNERS_M)
    more: dict[str, Any] = {}
    if word == "Draco":
        del glb.json["accessors"][position]["bufferView"]
        more = {"extensions": {extension: {"bufferView": 0, "attributes": {"POSITION": 0}}}}
    else:
        glb.json["bufferViews"][0]["extensions"] = {extension: {"buffer": 0, "byteLength": 9, "count": 36}}
    if required:
        glb.json["extensionsRequired"] = [extension]
    path = glb.write(tmp_path / "box.glb", {"POSITION": position}, **more)
    with pytest.raises(MeshError, match=rf"geometry compressed with {word}, .* without compression"):
        load_mesh(path, "m")


def test_points_and_empty_files_are_named(tmp_path: Path) -> None:
    glb = TinyGlb()
    path = glb.write(tmp_path / "cloud.glb", {"POSITION": glb.accessor(CORNERS_M)}, mode=0)
    with pytest.raises(MeshError, match="a point cloud of 36 points and no faces"):
        load_mesh(path, "m")
    head = "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\n"
    (tmp_path / "cloud.ply").write_text(f"{head}end_header\n0 0 0\n1 1 1\n")
    with pytest.raises(MeshError, match="a point cloud of 2 points and no faces"):
        load_mesh(tmp_path / "cloud.ply", "m")
    for suffix in ("ply", "obj", "glb", "stl"):
        (tmp_path / f"empty.{suffix}").write_bytes(b"")
        with pytest.raises(MeshError, match=rf"empty\.{suffix}: got an empty file"):
            load_mesh(tmp_path / f"empty.{suffix}", "m")


def test_strips_and_fans(tmp_path: Path) -> None:
    """A unit square of four corners in either order has the area 1 and one winding."""
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=np.float32)
    for mode, order in ((5, [0, 1, 3, 2]), (6, [0, 1, 2, 3])):
        glb = TinyGlb()
        attributes = {"POSITION": glb.accessor(square)}
        indices = glb.accessor(np.array(order, dtype=np.uint16))
        mesh = load_mesh(glb.write(tmp_path / "square.glb", attributes, mode=mode, indices=indices), "m")
        corner = mesh.vertices[mesh.faces].astype(np.float64)
        area = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]).sum(axis=0) / 2
        np.testing.assert_allclose(area, [0, 0, 1])
