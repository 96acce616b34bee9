"""A small generator that the tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from storm_edge.generator.config import GeneratorConfig
    from storm_edge.generator.scenes import SceneGenerator


@pytest.fixture
def small_config() -> GeneratorConfig:
    # Imported here: where torch is left out on purpose, test modules are skipped and this must still load.
    from storm_edge.generator.config import GeneratorConfig, LayoutConfig, PoolConfig, RoomConfig

    return GeneratorConfig(
        pool=PoolConfig(objects=10, props=4, furniture=2, face_count=(400, 900)),
        room=RoomConfig(surfaces=4, scenery=2),
        layout=LayoutConfig(sizes_px=((120, 160),)),
    )


@pytest.fixture
def small_generator(small_config: GeneratorConfig) -> SceneGenerator:
    from storm_edge.generator.scenes import SceneGenerator

    return SceneGenerator(5, "cpu", small_config)
