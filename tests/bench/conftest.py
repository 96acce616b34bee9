from __future__ import annotations

import pytest

from storm_edge.bench.recording import Recording, load_recording
from storm_edge.bop.scene import BopScene
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from tests.tiny_scene import MODEL, write_tiny_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> BopScene:
    return BopScene(write_tiny_scene(tmp_path_factory.mktemp("bench") / "scene", frame_count=4))


@pytest.fixture(scope="module")
def box(scene: BopScene) -> ObjectBundle:
    return onboard(scene.path / MODEL, "mm", view_subdivisions=1)


@pytest.fixture(scope="module")
def recording(scene: BopScene, box: ObjectBundle) -> Recording:
    return load_recording(scene, box, clear=True)
