"""How much there is of each colour tells another object of the same shape, in any brightness."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.side.config import FoundEvidenceConfig
from storm_edge.pipeline.side.found_evidence import FoundEvidence
from tests.pipeline.side.sides import bundle_of, picture, pose, speckled_can

CAN = speckled_can()
RED, BLUE = (0.8, 0.2, 0.2), (0.2, 0.2, 0.8)


def two_coloured(red_share: float) -> Mesh:
    """The can with a red upper part, blue below."""
    low, high = CAN.vertices[:, 2].min(), CAN.vertices[:, 2].max()
    is_red = CAN.vertices[:, 2] >= high - red_share * (high - low)
    return make_mesh(CAN.vertices, CAN.faces, colours=np.where(is_red[:, None], RED, BLUE))


def overlap(frame: Frame, model: Mesh) -> float:
    item = ObjectOnDevice(bundle_of(model))
    evidence = FoundEvidence(item.mesh, item.bundle.diameter_m, FoundEvidenceConfig())
    return evidence.palette_overlap(frame, pose())


@pytest.mark.parametrize("brightness", [1.0, 0.5])
def test_the_object_has_its_own_colours(brightness: float) -> None:
    frame = picture(CAN, pose())
    dimmed = replace(frame, rgb=np.round(frame.rgb * brightness).astype(np.uint8))
    assert overlap(dimmed, CAN) > 0.7


def test_less_is_shared_the_more_there_is_of_one_colour() -> None:
    model = two_coloured(0.5)
    own, less, none = (overlap(picture(two_coloured(share), pose()), model) for share in (0.5, 0.2, 0.0))
    assert own > less + 0.2
    assert less > none + 0.2
    assert overlap(picture(CAN, pose()), model) < 0.1, "black and white"


def test_where_no_pixel_counts_nothing_is_missing() -> None:
    frame = picture(CAN, pose())
    assert overlap(replace(frame, depth_m=np.full_like(frame.depth_m, 0.3)), CAN) == 1.0
