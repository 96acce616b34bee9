"""Masks and models of different sizes: what is refused, with the cause, and what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.errors import CameraError, InputError, UnitError
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels.renderer import render
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.objects.onboard import onboard
from storm_edge.objects.ply import write_ply
from storm_edge.pipeline.register.config import FAST, ScaleConfig
from storm_edge.pipeline.register.mask_scale import MaskScaleCheck
from storm_edge.pipeline.register.registrar import Registrar
from tests.staged import K, Staged


@pytest.fixture(scope="module")
def registrar(staged: Staged) -> Registrar:
    return Registrar(staged.item, None, config=FAST)


def scaled(staged: Staged, factor: float, folder: Path) -> Registrar:
    """Registers the staged mug by a model of another size."""
    path = folder / "scaled.ply"
    write_ply(path, replace(staged.mesh, vertices=staged.mesh.vertices * factor))
    return Registrar(ObjectOnDevice(onboard(path, "mm", view_subdivisions=1)), None, config=FAST)


def changed(frame: Frame, *, depth: float = 1.0, camera: float = 1.0) -> Frame:
    matrix = frame.K.copy()
    matrix[:2] *= camera
    return replace(frame, depth_m=frame.depth_m * np.float32(depth), K=matrix)


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (0.001, "multiply the model by 1000 .*--unit m"),
        (1 / 25.4, "multiply the model by 25.4 .inches"),
        (0.1, "multiply the model by 10 .centimetres"),
        (10.0, "multiply the model by 0.1"),
        (25.4, "multiply the model by 0.0394"),
        (1000.0, "multiply the model by 0.001 .*--unit mm"),
    ],
)
def test_a_model_in_another_unit(staged: Staged, factor: float, words: str) -> None:
    check = MaskScaleCheck(staged.buffers(), staged.mask(), staged.bundle.diameter_m * factor, ScaleConfig())
    with pytest.raises(UnitError, match=words) as caught:
        check.check_extent()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_model_of_half_and_of_twice_the_size(staged: Staged, factor: float, tmp_path: Path) -> None:
    T = make_T(staged.T_cam_centre[:3, :3], [0.02, 0.0, 0.65])
    registrar = scaled(staged, factor, tmp_path)
    with pytest.raises(UnitError, match=rf"multiply the model by {1 / factor:g} "):
        registrar.register(staged.buffers(staged.frame(T)), staged.mask(T))


@pytest.mark.parametrize(
    ("factor", "words"), [(0.1, "multiply the depth by 10 "), (10.0, "multiply the depth by 0.1 ")]
)
def test_depth_in_another_unit(staged: Staged, registrar: Registrar, factor: float, words: str) -> None:
    frame = changed(staged.frame(), depth=factor)
    with pytest.raises(UnitError, match=words):
        registrar.register(staged.buffers(frame), staged.mask())


@pytest.mark.parametrize(("factor", "size"), [(0.5, "multiply K by 2 .*half"), (2.0, "multiply K by 0.5 .*twice")])
def test_intrinsics_of_another_resolution(staged: Staged, registrar: Registrar, factor: float, size: str) -> None:
    frame = changed(staged.frame(), camera=factor)
    with pytest.raises(CameraError, match=size):
        registrar.register(staged.buffers(frame), staged.mask())


def test_a_mask_of_a_part_is_no_wrong_scale(staged: Staged, registrar: Registrar) -> None:
    """Segmenters mark a label or a half; the scene agrees with the rest of the model."""
    rows, columns = np.nonzero(staged.mask())
    for part in (np.s_[: int(np.percentile(rows, 35))], np.s_[:, : int(np.percentile(columns, 35))]):
        mask = np.zeros_like(staged.mask())
        mask[part] = staged.mask()[part]
        registrar.register(staged.buffers(), mask)


def test_an_object_that_hides_is_no_wrong_scale(staged: Staged, registrar: Registrar) -> None:
    mask = staged.mask()
    window = (slice(0, 480), slice(0, int(np.percentile(np.nonzero(mask)[1], 75))))
    mask[window] = False
    registrar.register(staged.buffers(staged.frame(hidden=window)), mask)


def test_an_object_that_the_image_cuts_off_is_no_wrong_scale(staged: Staged, registrar: Registrar) -> None:
    T = make_T(staged.T_cam_centre[:3, :3], [-0.39, -0.02, 0.65])
    mask = staged.mask(T)
    assert 0.02 < mask.sum() / staged.mask().sum() < 0.6
    registrar.register(staged.buffers(staged.frame(T)), mask)


def test_sparse_depth_is_no_wrong_scale(staged: Staged, registrar: Registrar, rng: np.random.Generator) -> None:
    frame = staged.frame()
    sparse = np.where(rng.random(frame.depth_m.shape) < 0.02, frame.depth_m, np.float32(0.0))
    registrar.register(staged.buffers(replace(frame, depth_m=sparse)), staged.mask())


def test_a_plate_seen_edge_on_is_no_wrong_scale(staged: Staged) -> None:
    """Its silhouette is narrow in one direction only."""
    d = staged.bundle.diameter_m
    mask = np.zeros((480, 640), dtype=bool)
    length_px = round(K[0, 0] * 0.9 * d / 0.65)
    mask[238:242, 320 - length_px // 2 : 320 + length_px // 2] = True
    depth = np.where(mask, np.float32(0.65), np.float32(0.9))
    check = MaskScaleCheck(staged.buffers(replace(staged.frame(), depth_m=depth)), mask, d, ScaleConfig())
    check.check_extent()
    check.check_pose(np.where(mask, np.float32(0.65), np.float32(0.0)))


@pytest.mark.parametrize("turn", [[0.0, 0.0, 0.0], [1.5, 0.0, 0.0], [0.4, 1.2, -0.5]])
@pytest.mark.parametrize("distance_m", [0.35, 0.8])
def test_right_poses_are_of_the_right_scale(staged: Staged, turn: list[float], distance_m: float) -> None:
    T = make_T(exp_so3(turn) @ staged.T_cam_centre[:3, :3], [0.02, 0.01, distance_m])
    mask = staged.mask(T)
    check = MaskScaleCheck(staged.buffers(staged.frame(T)), mask, staged.bundle.diameter_m, ScaleConfig())
    check.check_extent()
    check.check_pose(render(staged.item.mesh_lod, T, K, (480, 640)).depth[0])
    with pytest.raises(InputError):
        check.check_pose(render(staged.item.mesh_lod, T @ np.diag([0.4, 0.4, 0.4, 1.0]), K, (480, 640)).depth[0])
