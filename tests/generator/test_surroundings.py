"""Textures, rooms, lights and props keep within what they promise."""

from __future__ import annotations

import numpy as np
import torch

from storm_edge.generator.chance import Chance
from storm_edge.generator.config import LightConfig, RoomConfig
from storm_edge.generator.light import make_lights
from storm_edge.generator.props import make_furniture, make_gripper, make_pole, make_prop
from storm_edge.generator.room import PLANES, make_room, make_textures
from storm_edge.generator.textures import TEXTURE_PX, scenery_texture, surface_texture


def test_textures_are_pictures(rng: np.random.Generator) -> None:
    for maker in (surface_texture, scenery_texture):
        for _ in range(12):
            picture = maker(rng)
            assert picture.shape == (TEXTURE_PX, TEXTURE_PX, 3)
            assert picture.dtype == np.float32
            assert 0.0 <= picture.min() <= picture.max() <= 1.0
    bank = make_textures(rng, RoomConfig(surfaces=2, scenery=1), torch.device("cpu"))
    assert bank.shape == (3, TEXTURE_PX, TEXTURE_PX, 3)
    assert bank.dtype == torch.uint8


def test_surroundings_are_muted(rng: np.random.Generator) -> None:
    """Most of what is around in real rooms has little colour."""
    saturation = []
    for _ in range(60):
        mean = surface_texture(rng).mean(axis=(0, 1))
        saturation.append(1.0 - mean.min() / max(float(mean.max()), 1e-6))
    assert np.median(saturation) < 0.35


def test_walls_stand_behind_the_objects_and_tables_below() -> None:
    chance = Chance(torch.Generator().manual_seed(6))
    reach, azimuth = chance.uniform((50,), 0.05, 0.5), chance.uniform((50,), 0.0, 6.28)
    room = make_room(chance, reach, azimuth, RoomConfig())
    T = room.T_world_plane
    torch.testing.assert_close(T[..., :3, :3].det(), torch.ones(50, PLANES), atol=1e-5, rtol=0.0)
    assert not T[:, 0, :3, 3].any()  # the table
    assert bool((T[:, 2, 2, 3] < -0.19).all())  # the floor
    away = -(T[:, 3:, :3, 3] * T[:, 3:, :3, 2]).sum(dim=-1)
    assert bool((away > reach[:, None]).all())
    assert bool((room.texture[:, 0] < RoomConfig().surfaces).all())
    assert int(room.texture.max()) < RoomConfig().surfaces + RoomConfig().scenery
    assert bool((room.texture[room.texture[:, 0] < 0, 1] == -1).all())  # no cloth without a table


def test_lights_come_from_above_and_see_all_objects() -> None:
    chance = Chance(torch.Generator().manual_seed(7))
    middle, radius = chance.normal((50, 3)) * 0.1, chance.uniform((50,), 0.05, 0.6)
    config = LightConfig()
    lights = make_lights(chance, middle, radius, config)
    assert bool((lights.key_at_m[:, 2] > middle[:, 2]).all())
    seen = (lights.T_light_world @ torch.cat([middle, torch.ones(50, 1)], dim=1)[..., None])[..., 0]
    torch.testing.assert_close(seen[:, 2], lights.key_distance_m, atol=1e-4, rtol=0.0)
    # The sphere around the objects fits into the shadow map.
    casts = lights.shadow_f > 0
    half_px = lights.shadow_f * radius / (lights.key_distance_m**2 - radius**2).sqrt()
    assert bool((half_px[casts] < config.shadow_px / 2).all())
    total = (lights.ambient + lights.key).mean(dim=1)
    assert 0.7 < float(total.min()) <= float(total.max()) < 1.6


def test_props_are_of_the_size_of_things(rng: np.random.Generator) -> None:
    for maker, low, high in ((make_gripper, 0.4, 1.2), (make_pole, 0.4, 1.2), (make_prop, 0.3, 1.2)):
        for _ in range(5):
            mesh = maker(rng)
            assert low < np.ptp(mesh.vertices, axis=0).max() < high
            assert len(mesh.faces) < 8192
    for _ in range(5):
        mesh = make_furniture(rng)
        assert abs(float(mesh.vertices[:, 2].min())) < 1e-6
        assert 0.2 < np.ptp(mesh.vertices, axis=0).max() < 4.0
        assert len(mesh.faces) < 8192
