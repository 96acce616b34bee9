"""The segmenter's inputs in torch are those of the run time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from storm_edge.generator.contract import SceneBatch
from storm_edge.generator.observe import observe
from storm_edge.generator.scenes import SceneGenerator
from storm_edge.generator.segment_colours import colour_models
from storm_edge.generator.segment_frames import object_channels, shrunk_masks, small_frames
from storm_edge.generator.view_bank import ViewBank
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.segment_inputs.letterbox import Letterbox
from storm_edge.kernels.segment_inputs.object_channels import object_channels as run_time_object_channels
from storm_edge.kernels.segment_inputs.object_views import object_views
from storm_edge.kernels.segment_inputs.small_frame import SmallFrame, small_frame

SIZES = [(240, 320), (180, 320), (120, 160), (300, 400)]


def pictures(generator: SceneGenerator, size_px: tuple[int, int], count: int = 4) -> SceneBatch:
    return observe(generator.scenes_of_size(count, size_px), generator.generator, generator.config)


def run_time_frame(scenes: SceneBatch, i: int) -> SmallFrame:
    rgb = (scenes.rgb[i].permute(1, 2, 0).numpy() * 255.0).round().astype(np.uint8)
    return small_frame(
        np.ascontiguousarray(rgb), scenes.depth_m[i].numpy(), scenes.truth.K[i].numpy().astype(np.float64)
    )


@pytest.mark.parametrize("size_px", SIZES)
def test_image_channels_are_those_of_the_run_time(small_generator: SceneGenerator, size_px: tuple[int, int]) -> None:
    scenes = pictures(small_generator, size_px)
    frames = small_frames(scenes)
    for i in range(len(scenes.rgb)):
        wanted = run_time_frame(scenes, i)
        got = frames.channels[i].numpy()
        assert np.abs(got[:3] - wanted.channels[:3]).max() < 1.01 / 255.0
        assert (np.abs(got[:3] - wanted.channels[:3]) > 1e-5).mean() < 0.01
        np.testing.assert_allclose(got[6:], wanted.channels[6:], atol=1e-5)
        # A normal is there or not by thresholds, which single precision may see on the other side.
        off = np.abs(got[3:6] - wanted.channels[3:6]).max(axis=0)
        assert (off > 2e-3).mean() < 1e-3
        density = frames.scene_density[i].numpy()
        assert (np.abs(density - wanted.scene_density) > 0.01 * wanted.scene_density + 0.01).mean() < 0.02


def test_planes_are_those_of_the_run_time(small_generator: SceneGenerator) -> None:
    scenes = pictures(small_generator, (240, 320), 12)
    frames = small_frames(scenes)
    for i in range(len(scenes.rgb)):
        wanted, got = run_time_frame(scenes, i).plane_distance_m, frames.plane_distance_m[i].numpy()
        assert ((wanted < 0.0) == (got < 0.0)).all()
        assert np.quantile(np.abs(wanted - got), 0.99) < 1e-4


@pytest.mark.parametrize("size_px", SIZES[:2])
def test_object_channels_are_those_of_the_run_time(small_generator: SceneGenerator, size_px: tuple[int, int]) -> None:
    scenes, pool = pictures(small_generator, size_px, 2), small_generator.pool
    bank, slots = ViewBank(pool), torch.tensor([[0, 1], [2, 3]])
    got = object_channels(small_frames(scenes), bank.rgb[slots], bank.chroma[slots], pool.diameter_m[slots])
    for i in range(2):
        frame = run_time_frame(scenes, i)
        for t in range(2):
            slot = int(slots[i, t])
            views = object_views(MeshBuffers.from_mesh(pool.mesh(slot)), pool.diameters_m[slot])
            wanted = run_time_object_channels(frame, views.colours, pool.diameters_m[slot])
            off = np.abs(got[i, t].numpy() - wanted)
            assert (off > 2e-3).mean() < 0.01
            assert off.mean() < 1e-3


@pytest.mark.parametrize("size_px", SIZES)
def test_masks_shrink_as_at_run_time(size_px: tuple[int, int]) -> None:
    mask = torch.rand(size_px, generator=torch.Generator().manual_seed(1)) > 0.6
    wanted = Letterbox.of(size_px).shrink_mask(mask.numpy())
    np.testing.assert_allclose(shrunk_masks(mask.to(torch.float32)).numpy(), wanted, atol=1e-5)


def test_colours_of_views_make_the_model_of_the_run_time(small_generator: SceneGenerator) -> None:
    bank = ViewBank(small_generator.pool)
    views = bank.channels[:3].float().transpose(1, 2).flatten(2)
    rgb, chroma = colour_models(views[:, :3] + 0.5, views[:, 7] > 0.5)
    for got, wanted in ((rgb, bank.rgb), (chroma, bank.chroma)):
        shared = torch.minimum(got, wanted[:3]).sum(1) / wanted[:3].sum(1)
        assert (shared > 0.9).all()  # other pixels are picked
