"""What an RGB-D camera delivers of rendered scenes."""

from __future__ import annotations

import torch

from storm_edge.generator.colour_camera import photograph
from storm_edge.generator.config import GeneratorConfig
from storm_edge.generator.contract import RenderedScenes, SceneBatch
from storm_edge.generator.depth_camera import measure


@torch.no_grad()
def observe(scenes: RenderedScenes, generator: torch.Generator, config: GeneratorConfig) -> SceneBatch:
    """Scenes as the cameras of ``config`` see them; settings and noise of ``generator``."""
    rgb = photograph(scenes, generator, config.colour)
    return SceneBatch(truth=scenes.truth, rgb=rgb, depth_m=measure(scenes, generator, config.depth))
