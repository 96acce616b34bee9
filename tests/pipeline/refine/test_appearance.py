"""Appearance as a state: what one model knows another can take over."""

from __future__ import annotations

import numpy as np

from storm_edge.kernels.device import require_device
from storm_edge.objects.on_device import ViewpointBuffers
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.appearance import AppearanceModel
from storm_edge.pipeline.refine.config import GeometricConfig
from storm_edge.pipeline.refine.descent import Descents
from tests.kernels.tracking import T_TRUE, moved, views
from tests.pipeline.refine.test_descent import shown


def test_nothing_is_known_at_first() -> None:
    model = AppearanceModel(require_device("cpu"))
    assert model.log_odds() is None
    assert not model.colours_known
    assert not model.exposure_known


def test_a_copy_judges_and_learns_as_the_first_one_does(rng: np.random.Generator) -> None:
    """The same terms at the same poses, and the same log odds after the same update."""
    uploaded = ViewpointBuffers.from_viewpoints(views())
    first, second = (Descents(uploaded, capacity=4, config=GeometricConfig()) for _ in range(2))
    frame = shown(FrameBuffers(240, 320))
    pose = moved(T_TRUE, 5.0, 0.005, rng)
    for descents in (first, second):
        descents.set_frame(frame)
    first.update_appearance_at(T_TRUE, 1.0)
    second.appearance.copy_from(first.appearance)
    ends = [descents.descend(pose, descents.schedule(GeometricConfig().small)) for descents in (first, second)]
    np.testing.assert_array_equal(ends[0].poses, ends[1].poses)
    np.testing.assert_array_equal(ends[0].terms, ends[1].terms)
    for descents in (first, second):
        descents.update_appearance_at(pose, 0.3)
    np.testing.assert_array_equal(first.appearance.log_odds(), second.appearance.log_odds())


def test_a_copy_is_not_changed_with_the_first_one() -> None:
    descents = Descents(ViewpointBuffers.from_viewpoints(views()), capacity=1, config=GeometricConfig())
    descents.set_frame(shown(FrameBuffers(240, 320)))
    descents.update_appearance_at(T_TRUE, 1.0)
    copy = AppearanceModel(require_device("cpu"))
    copy.copy_from(descents.appearance)
    known = copy.log_odds()
    descents.set_frame(shown(FrameBuffers(240, 320), moved(T_TRUE, 30.0, 0.05, np.random.default_rng(1))))
    descents.update_appearance_at(T_TRUE, 1.0)
    assert known is not None
    np.testing.assert_array_equal(copy.log_odds(), known)
    assert (descents.appearance.log_odds() != known).any()
