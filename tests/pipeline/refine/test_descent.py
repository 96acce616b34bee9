"""Fused launches, as CPUs have them, against separate ones, as CUDA has them: the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import warp as wp

from storm_edge.frame import Frame
from storm_edge.kernels.host_threads import launching_on
from storm_edge.objects.on_device import ViewpointBuffers
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.alignment import AlignmentTerms, fuse_terms
from storm_edge.pipeline.refine.config import COARSE, FINE, FINEST, MEDIUM, ROUGH, GeometricConfig
from storm_edge.pipeline.refine.descent import Descents
from storm_edge.pipeline.refine.launches import RgbdBuffers
from tests.kernels.tracking import K_CAMERA, T_TRUE, moved, picture, views

SCHEDULE = (ROUGH, COARSE, MEDIUM, FINE, FINEST)


def shown(buffers: FrameBuffers, T: np.ndarray = T_TRUE) -> RgbdBuffers:
    shot = picture(T)
    buffers.upload(Frame(rgb=shot.rgb, depth_m=shot.depth, K=K_CAMERA, index=0))
    return buffers


def made(*, fused: bool) -> Descents:
    return Descents(ViewpointBuffers.from_viewpoints(views()), capacity=4, config=GeometricConfig(), fused=fused)


@pytest.fixture
def buffers() -> FrameBuffers:
    return FrameBuffers(*picture().depth.shape)


@pytest.fixture
def starts(rng: np.random.Generator) -> np.ndarray:
    return np.stack([moved(T_TRUE, 8.0, 0.008, rng) for _ in range(3)])


def spy_on_launches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    launch = wp.Launch.launch
    monkeypatch.setattr(wp.Launch, "launch", lambda self: (names.append(self.kernel.key), launch(self))[1])
    return names


def test_fused_is_one_launch_each(buffers: FrameBuffers, starts: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    descents = made(fused=True)
    descents.set_frame(shown(buffers))
    names = spy_on_launches(monkeypatch)
    descents.update_appearance_at(T_TRUE, 1.0)
    descents.descend(starts, descents.schedule(SCHEDULE))
    assert names == ["update_appearance_kernel", "descend_kernel"]


@pytest.mark.parametrize("steps", [(), SCHEDULE])
def test_fused_and_separate_launches_agree(buffers: FrameBuffers, starts: np.ndarray, steps: tuple) -> None:
    """Before anything was learned, after one update of the appearance, and after another one elsewhere."""
    whole, parts = made(fused=True), made(fused=False)
    frame = shown(buffers)
    for T_update, rate in ((None, 0.0), (T_TRUE, 1.0), (starts[0], 0.3)):
        found = []
        for descents in (whole, parts):
            descents.set_frame(frame)
            update = None if T_update is None else descents.update_appearance_at(T_update, rate)
            found.append(
                (
                    update,
                    *descents.descend(starts, descents.schedule(steps)),
                    descents.appearance.log_odds_buffer.numpy().copy(),
                )
            )
        for one, other in zip(*found, strict=True):
            if one is not None:
                np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
        assert np.isfinite(found[0][1]).all()
        if steps:
            assert np.abs(found[0][1] - starts).max() > 1e-3  # they moved


@pytest.mark.parametrize("steps", [(), SCHEDULE])
def test_several_threads_compute_what_one_does(buffers: FrameBuffers, starts: np.ndarray, steps: tuple) -> None:
    descents = made(fused=True)
    descents.set_frame(shown(buffers))
    descents.update_appearance_at(T_TRUE, 1.0)
    found = []
    for threads in (1, 2, 3):
        with launching_on(threads):
            found.append(descents.descend(starts, descents.schedule(steps)))
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, same)


def test_terms_on_the_device_are_those_of_the_host(buffers: FrameBuffers, starts: np.ndarray) -> None:
    descents = made(fused=True)
    descents.set_frame(shown(buffers))
    for _ in range(2):
        terms = descents.descend(starts, descents.schedule(())).terms
        by_hand = fuse_terms(descents.evidence(len(starts)), colours_known=descents.appearance.colours_known)
        for name, value in vars(AlignmentTerms.of_terms(terms)).items():
            np.testing.assert_allclose(value, getattr(by_hand, name), rtol=1e-12, atol=1e-12, err_msg=name)
        descents.update_appearance_at(T_TRUE, 1.0)


def test_nothing_seen_is_no_agreement(buffers: FrameBuffers) -> None:
    """Behind the camera, and no numbers: nothing can be judged."""
    descents = made(fused=True)
    descents.set_frame(shown(buffers))
    descents.update_appearance_at(T_TRUE, 1.0)
    behind = T_TRUE.copy()
    behind[2, 3] *= -1.0
    found = descents.descend(np.stack([behind, np.full((4, 4), np.nan)]), descents.schedule(()))
    np.testing.assert_array_equal(found.terms[:, 0], 1.0)


@pytest.mark.parametrize("fused", [True, False])
def test_a_new_picture_in_the_same_buffers_is_seen(buffers: FrameBuffers, fused: bool) -> None:
    """Frames lie where they came; a recorded launch must not go on reading the first one."""
    elsewhere = T_TRUE.copy()
    elsewhere[0, 3] += 0.03
    descents = made(fused=fused)
    judge_only = descents.schedule(())
    descents.set_frame(shown(buffers))
    descents.update_appearance_at(T_TRUE, 1.0)
    residuals = []
    for T in (T_TRUE, elsewhere, T_TRUE):
        descents.set_frame(shown(buffers, T))
        residuals.append(descents.descend(T_TRUE, judge_only).terms[0, 0])
    assert residuals[0] == residuals[2] < 0.2 < residuals[1]
