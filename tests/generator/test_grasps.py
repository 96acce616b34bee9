"""Props reach for objects without covering the camera, and furniture stays behind."""

from __future__ import annotations

from dataclasses import replace

import torch

from storm_edge.generator.chance import Chance
from storm_edge.generator.config import LayoutConfig
from storm_edge.generator.grasps import place_furniture, place_props
from storm_edge.generator.layout import Cameras, Stage, place_cameras, set_stage
from storm_edge.generator.mesh_pool import MeshPool
from storm_edge.generator.scenes import SceneGenerator

COUNT = 60


def _staged(generator: SceneGenerator, config: LayoutConfig) -> tuple[Chance, MeshPool, Stage, Cameras]:
    chance = Chance(generator.generator)
    stage = set_stage(chance, generator.pool, COUNT, config)
    return chance, generator.pool, stage, place_cameras(chance, generator.pool, stage, (120, 160), config)


def test_what_is_grasped_is_held_and_near_the_prop(small_generator: SceneGenerator) -> None:
    config = replace(LayoutConfig(), grasp_share=1.0, occluder_share=1.0)
    chance, pool, stage, cameras = _staged(small_generator, config)
    slot, T = place_props(chance, pool, stage, cameras.T_cam_world, config)
    assert torch.equal(slot[:, 0] >= 0, stage.held[:, 0])
    assert bool((slot[:, 1] >= 0).all())
    assert bool(((slot == -1) | ((slot >= pool.object_count) & (slot < pool.object_count + pool.prop_count))).all())
    T_cam_obj = cameras.T_cam_world @ stage.T_world_obj[:, 0]
    apart = (T[:, 0, :3, 3] - T_cam_obj[:, :3, 3]).norm(dim=-1) / pool.diameter_m[stage.slot[:, 0]]
    assert 0.29 < float(apart.min()) <= float(apart.max()) < 0.61
    # One arm in a hundred finds no way that keeps clear of the camera.
    assert float((T[..., 2, 1] > -0.16).float().mean()) > 0.95


def test_furniture_stands_behind_the_objects(small_generator: SceneGenerator) -> None:
    config = replace(LayoutConfig(), furniture_share=1.0)
    chance, pool, stage, cameras = _staged(small_generator, config)
    slot, T_cam = place_furniture(chance, pool, stage, cameras, config)
    assert bool((slot >= pool.object_count + pool.prop_count).all())
    at_m = torch.linalg.solve(cameras.T_cam_world[:, None], T_cam)[..., :3, 3]
    toward = torch.stack([torch.cos(cameras.azimuth_rad), torch.sin(cameras.azimuth_rad)], dim=-1)
    assert float(((at_m[..., :2] * toward[:, None]).sum(dim=-1) < 0.0).float().mean()) > 0.95
    assert bool((at_m[..., :2].norm(dim=-1) > stage.reach_m[:, None]).all())


def test_a_pool_without_props_has_bare_scenes(small_generator: SceneGenerator) -> None:
    config = LayoutConfig()
    chance, pool, stage, cameras = _staged(small_generator, config)
    pool.prop_count = pool.furniture_count = 0
    assert bool((place_props(chance, pool, stage, cameras.T_cam_world, config)[0] == -1).all())
    assert bool((place_furniture(chance, pool, stage, cameras, config)[0] == -1).all())
