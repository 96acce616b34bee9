"""What an RGB-D camera delivers of rendered scenes."""

from __future__ import annotations

import torch

from storm_edge.generator.config import GeneratorConfig
from storm_edge.generator.contract import RenderedScenes, SceneBatch


@torch.no_grad()
def observe(scenes: RenderedScenes, generator: torch.Generator, config: GeneratorConfig) -> SceneBatch:
    """Scenes as the cameras of ``config`` see them; settings and noise of ``generator``."""
    rgb = torch.round(scenes.colour.clamp(0.0, 1.0) * 255.0) / 255.0
    depth_m = torch.where(scenes.measurable, scenes.depth_m, 0.0)
    return SceneBatch(truth=scenes.truth, rgb=rgb, depth_m=depth_m)
