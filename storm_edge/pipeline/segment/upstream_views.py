"""The reference views of an object as STORM's own program renders them, for the schedule ``parity``.

STORM renders with pyrender (`som/pure_all.py`): cameras on a golden spiral about the mean of the vertices, one and a
half box diagonals away, z upwards, 45 degrees high, 640 x 480 pixels, grey behind. A distant lamp of 500 shines along
(-1, -1, -1), one of 600 sits on the camera and fades with the square of the distance in the file's unit, so that a
model in millimetres shows nothing of it. Surfaces are lit by the glTF formula for metal and roughness, and come out
nearly white wherever the distant lamp reaches them. Back sides are drawn, which pyrender leaves out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.choices import Framing
from storm_edge.errors import ObjectBundleError, mismatch
from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.geometry.se3 import make_T
from storm_edge.geometry.viewsphere import golden_spiral, look_at_origin
from storm_edge.kernels.renderer import render
from storm_edge.kernels.shading import Lighting
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.pipeline.segment.full_som_framing import square_image

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# All of it is upstream's, or the formula's of its renderer.
_VIEWS = 16  # fixed: upstream's reference views
_SIZE_PX = (480, 640)  # fixed: upstream's reference views
_FOCAL_PX = 240.0 / np.tan(np.deg2rad(22.5))  # fixed: upstream's reference views
_DISTANCE = 1.5  # fixed: upstream's reference views
_GREY = 0.5  # fixed: upstream's reference views
_AMBIENT, _DISTANT, _ON_CAMERA = 0.4, 500.0, 600.0  # fixed: upstream's lamps
_TO_DISTANT = np.ones(3) / np.sqrt(3.0)  # fixed: upstream's lamps
_PLAIN = (0.3, 0.2, 0.8)  # fixed: base colour, metal and roughness of surfaces with vertex colours or none
_TEXTURED = (1.0, 1.0, 1.0)  # fixed: the same of textured ones, where the texture multiplies the base colour
_DIELECTRIC = 0.04  # fixed: the formula's reflectance of what is no metal
_GAMMA = 2.2  # fixed: of the pictures
_SUPERSAMPLING = 2  # fixed: as smooth as upstream's pictures
_UNLIT = Lighting(ambient=1.0, diffuse=0.0)  # fixed: colours as they are


def upstream_reference_views(bundle: ObjectBundle, *, device: str = "cpu") -> Float32:
    """The sixteen pictures as STORM's SOM is given them, ``(16, 3, 224, 224)``, normalised.

    Args:
        bundle: The object, with the model that upstream loads.
        device: Warp device name.

    Raises:
        ObjectBundleError: Onboarding did not keep that.
    """
    if bundle.upstream is None:
        remedy = "onboard it again with --parity, or take another schedule"
        raise ObjectBundleError(
            mismatch(f"object {bundle.object_id}", "no model as upstream loads it", "one, for parity", remedy)
        )
    mesh, normals = bundle.upstream.mesh, bundle.upstream.file_normals
    per_metre = 1000.0 if bundle.source.unit == "mm" else 1.0  # fixed: upstream renders in the file's unit
    pictures = upstream_pictures(mesh, normals, per_metre=per_metre, device=device)
    return np.concatenate([square_image(picture, Framing.UPSTREAM) for picture in pictures])


def upstream_pictures(
    mesh: Mesh, normals: Float32, *, per_metre: float, supersampling: int = _SUPERSAMPLING, device: str = "cpu"
) -> NDArray[np.uint8]:
    """The sixteen pictures, ``(16, 480, 640, 3)``.

    Args:
        mesh: The model [m].
        normals: Its unit normals as the file states them, ``(V, 3)``.
        per_metre: Units of length of the file in a metre.
        supersampling: Rendered pixels per pixel along either side.
        device: Warp device name.
    """
    centre = mesh.vertices.mean(axis=0, dtype=np.float64)
    diagonal_m = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    upright = np.diag((-1.0, -1.0, 1.0)) @ look_at_origin(golden_spiral(_VIEWS))  # that function's up is our down
    height, width = (supersampling * n for n in _SIZE_PX)
    f = supersampling * _FOCAL_PX
    K = np.array([[f, 0.0, (width - 1) / 2], [0.0, f, (height - 1) / 2], [0.0, 0.0, 1.0]])
    about = mesh.vertices - centre
    coloured = make_mesh(about, mesh.faces, colours=mesh.colours, uv=mesh.uv, texture=mesh.texture)
    as_normals = make_mesh(about, mesh.faces, colours=0.5 * normals + 0.5)
    pictures = np.empty((_VIEWS, *_SIZE_PX, 3), dtype=np.uint8)
    for index, R in enumerate(upright):
        T = make_T(R, [0.0, 0.0, _DISTANCE * diagonal_m])
        seen, turned = (
            render(shown, T, K, (height, width), lighting=_UNLIT, device=device) for shown in (coloured, as_normals)
        )
        drawn = seen.mask[0] > 0
        colour = np.full((height, width, 3), _GREY)
        n = (2.0 * turned.colour[0][drawn].astype(np.float64) - 1.0) @ R.T  # to the camera's axes
        colour[drawn] = lit_colours(
            seen.colour[0][drawn].astype(np.float64),
            n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-12),
            seen.xyz[0][drawn].astype(np.float64) * per_metre,
            to_distant=R @ _TO_DISTANT,
            is_textured=mesh.texture is not None,
        )
        cells = colour.reshape(_SIZE_PX[0], supersampling, _SIZE_PX[1], supersampling, 3).mean(axis=(1, 3))
        pictures[index] = np.round(255.0 * cells)
    return pictures


def lit_colours(
    own: Float64, normals: Float64, points: Float64, *, to_distant: Float64, is_textured: bool
) -> Float64:
    """Colours ``(N, 3)`` in [0, 1] of points under upstream's lamps, by the formula of its renderer (glTF 2.0).

    Args:
        own: The surface's own colours, of vertices or texture, in [0, 1], ``(N, 3)``.
        normals: Unit normals in the camera frame, ``(N, 3)``.
        points: Places in the camera frame, in the file's unit, ``(N, 3)``.
        to_distant: Direction of the distant lamp in the camera frame, ``(3,)``.
        is_textured: Whether the own colours are a texture's: these are made linear and are the base colour; vertex
            colours multiply the light at the end, as they are.
    """
    base_value, metal, roughness = _TEXTURED if is_textured else _PLAIN
    base = base_value * _linear(own) if is_textured else np.full_like(own, base_value)
    distance = np.linalg.norm(points, axis=1, keepdims=True)
    to_camera = -points / distance
    light = _reflected(normals, to_camera, to_distant[None], base, metal, roughness) * _DISTANT
    light += _reflected(normals, to_camera, to_camera, base, metal, roughness) * _ON_CAMERA / distance**2
    light += _AMBIENT * base
    if not is_textured:
        light *= own
    return np.clip(light ** (1.0 / _GAMMA), 0.0, 1.0)


def _reflected(n: Float64, v: Float64, l: Float64, base: Float64, metal: float, roughness: float) -> Float64:  # noqa: E741
    """Share of a lamp's light that goes to the camera, ``(N, 3)``: Lambert's and Cook and Torrance's, by Schlick's
    Fresnel term, Smith's shadowing and the distribution of Trowbridge and Reitz."""
    h = l + v
    h = h / np.linalg.norm(h, axis=1, keepdims=True)
    nl = np.clip((n * l).sum(axis=1, keepdims=True), 1e-3, 1.0)
    nv = np.clip(np.abs((n * v).sum(axis=1, keepdims=True)), 1e-3, 1.0)
    nh, vh = (np.clip((a * h).sum(axis=1, keepdims=True), 0.0, 1.0) for a in (n, v))
    f0 = _DIELECTRIC * (1.0 - metal) + base * metal
    fresnel = f0 + (1.0 - f0) * (1.0 - vh) ** 5  # fixed: Schlick's
    k = (roughness + 1.0) ** 2 / 8.0  # fixed: Smith's, for lamps
    shadowing = nv / (nv * (1.0 - k) + k) * nl / (nl * (1.0 - k) + k)
    squared = roughness**4  # fixed: of the formula's alpha, which is the squared roughness
    spread = squared / (np.pi * (nh**2 * (squared - 1.0) + 1.0) ** 2)
    diffuse = (1.0 - fresnel) * base * (1.0 - _DIELECTRIC) * (1.0 - metal) / np.pi
    mirrored = fresnel * shadowing * spread / (4.0 * nl * nv + 1e-3)  # fixed: Cook and Torrance's
    return np.asarray(nl * (diffuse + mirrored))


def _linear(srgb: Float64) -> Float64:
    """sRGB values as light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)  # fixed: sRGB's
