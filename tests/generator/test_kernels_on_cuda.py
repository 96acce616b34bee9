"""The generator's kernels are CUDA code, too: compiled here without a GPU, since few who change them have one."""

from __future__ import annotations

import importlib
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import warp as wp

from storm_edge.kernels.device import require_device

ARCH = 90  # of the GPUs that networks are trained on


@pytest.mark.slow
@pytest.mark.parametrize("name", ["raster", "shading", "crop_kernels"])
def test_kernels_compile_for_cuda(name: str, tmp_path: Path) -> None:
    require_device("cpu")
    if wp.get_cuda_toolkit_version() is None:
        pytest.skip("needs a warp-lang that is built with CUDA")
    module = importlib.import_module(f"storm_edge.generator.{name}")
    wp.compile_aot_module(module, arch=ARCH, module_dir=str(tmp_path))
    assert list(tmp_path.glob(f"*.sm{ARCH}.*"))


def _moved(value: Any, device: str) -> Any:
    """A dataclass with all its tensors on another device."""
    if is_dataclass(value) and not isinstance(value, type):
        moved = {field.name: _moved(getattr(value, field.name), device) for field in fields(value)}
        return replace(value, **moved)
    return value.to(device) if hasattr(value, "to") else value


@pytest.mark.gpu
def test_scenes_on_cuda_are_those_of_the_cpu(cuda: str) -> None:
    """The same layout is drawn alike; random numbers differ between devices, so it is copied over."""
    import torch

    from storm_edge.generator.config import GeneratorConfig, PoolConfig, RoomConfig
    from storm_edge.generator.scenes import SceneGenerator

    config = GeneratorConfig(
        pool=PoolConfig(objects=6, props=2, furniture=1, face_count=(300, 600)),
        room=RoomConfig(surfaces=2, scenery=1),
    )
    here, there = SceneGenerator(5, "cpu", config), SceneGenerator(5, cuda, config)
    layout = here.lay_out(4, (60, 80))
    drawn = here.draw(layout, (60, 80))
    again = there.draw(_moved(layout, cuda), (60, 80))
    assert (drawn.truth.instance != again.truth.instance.cpu()).sum() < 20
    torch.testing.assert_close(drawn.truth.silhouette_px, again.truth.silhouette_px.cpu(), atol=3.0, rtol=0.0)
    same = drawn.truth.instance == again.truth.instance.cpu()
    assert ((drawn.depth_m - again.depth_m.cpu()).abs()[same] > 1e-4).float().mean() < 0.005
