"""A model without colours is found by its shape, whatever colours the object has; what only looks alike is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.evaluate.metrics import mask_iou
from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels.renderer import render
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.objects.viewpoints import build_viewpoints
from storm_edge.pipeline.detect.config import FULL
from storm_edge.pipeline.detect.detection import SearchState
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.lone_scores import LonePoseScorer
from storm_edge.pipeline.segment.segmentation import Candidate, bounding_box
from storm_edge.pipeline.segment.segmenter import Segmenter
from tests.staged import Staged


def grey_mesh(staged: Staged) -> Mesh:
    mesh = staged.bundle.mesh_lod
    return make_mesh(mesh.vertices, mesh.faces, normals=mesh.normals)


@pytest.fixture(scope="module")
def bundle(staged: Staged) -> ObjectBundle:
    """The staged mug as an STL file has it."""
    grey = grey_mesh(staged)
    views = build_viewpoints(grey, subdivisions=1)
    return replace(staged.bundle, mesh=grey, mesh_lod=grey, viewpoints=views)


@pytest.fixture(scope="module")
def detector(bundle: ObjectBundle, colour_segmenter: Segmenter) -> Detector:
    return Detector(ObjectOnDevice(bundle), colour_segmenter)


def noisy(frame: Frame) -> Frame:
    noise_m = np.random.default_rng(0).normal(0.0, 0.003, frame.depth_m.shape) * frame.depth_m**2
    return replace(frame, depth_m=(frame.depth_m + noise_m).astype(np.float32))


def painted(staged: Staged, colour: tuple[float, float, float]) -> Frame:
    """The staged frame with a mug of one colour, shaded as a grey one is."""
    frame, mask, T = staged.frame(), staged.mask(), staged.T_cam_centre
    grey = render(grey_mesh(staged), T, frame.K, frame.size_px).colour[0]
    rgb = np.where(mask[..., None], 2.0 * 255.0 * grey * np.asarray(colour), frame.rgb)
    return noisy(replace(frame, rgb=np.clip(rgb, 0.0, 255.0).astype(np.uint8)))


def test_a_bundle_says_whether_its_model_has_colours(staged: Staged, bundle: ObjectBundle) -> None:
    assert bundle.is_colourless
    assert not bundle.has_colours
    assert not staged.bundle.is_colourless
    assert staged.bundle.has_colours


def test_one_grey_speaks_against_a_place_of_another_colour(
    staged: Staged, bundle: ObjectBundle, detector: Detector, colour_segmenter: Segmenter
) -> None:
    """A white mug is found where one is, and not where a red one is; a model without colours is found at both."""
    mesh = replace(bundle.mesh, colours=np.full_like(bundle.mesh.colours, 0.8))
    white = replace(bundle, mesh=mesh, mesh_lod=mesh)
    assert white.is_colourless
    assert white.has_colours
    of_white = Detector(ObjectOnDevice(white), colour_segmenter)
    pale, red = painted(staged, (0.75, 0.75, 0.75)), painted(staged, (0.8, 0.05, 0.05))
    for frame in (pale, red):
        assert detector.detect(frame, staged.buffers(frame)).found is not None
    found = of_white.detect(pale, staged.buffers(pale)).found
    assert found is not None
    assert mask_iou(found.mask, staged.mask()) > 0.8
    assert of_white.detect(red, staged.buffers(red)).found is None


def test_scorenet_is_not_asked_of_a_model_without_colours(
    staged: Staged, bundle: ObjectBundle, colour_segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learned that the same shape in other colours is another object, and would deny a red mug to a grey model."""

    def logits(scorer: LonePoseScorer, frame: FrameBuffers, T_cam_centre: np.ndarray) -> np.ndarray:
        raise AssertionError("asked")

    monkeypatch.setattr(LonePoseScorer, "logits", logits)
    detector = Detector(ObjectOnDevice(bundle), colour_segmenter, networks=NetworkBundle.load("nano"))
    frame = painted(staged, (0.8, 0.05, 0.05))
    assert detector.detect(frame, staged.buffers(frame)).found is not None


def test_the_mug_is_found_by_its_shape(staged: Staged, detector: Detector) -> None:
    frame = noisy(staged.frame())
    search = detector.detect(frame, staged.buffers(frame))
    assert search.found is not None
    assert mask_iou(search.found.mask, staged.mask()) > 0.8


def test_where_no_depth_is_read_nothing_is_believed(
    staged: Staged, detector: Detector, colour_segmenter: Segmenter
) -> None:
    """Not even at the true pose: nothing contradicts the model there, which looks like agreement."""
    frame, mask = staged.frame(), staged.mask()
    candidate = Candidate(mask=mask, grown=mask, score=0.5, box=bounding_box(mask))
    for seen, is_believed in ((noisy(frame), True), (replace(frame, depth_m=np.zeros_like(frame.depth_m)), False)):
        search = SearchState(
            image=colour_segmenter.encode_image(seen),
            buffers=staged.buffers(seen),
            track_prior=None,
            budget=FULL,
            prior_logit=0.0,
        )
        there = detector._registrar.scored(search, candidate, staged.T_cam_centre)
        assert (there.presence_probability > 0.5) is is_believed
        assert (there.evidence is not None) is is_believed
        assert is_believed or there.presence_probability == 0.0


def test_an_arm_is_no_mug(staged: Staged, bundle: ObjectBundle, detector: Detector) -> None:
    """TRACKING used to end on one: it has the mug's width and relief, and goes on beyond the mug's outline."""
    low, high = bundle.mesh_lod.bounds()
    radius_m = float(min(high[0] - low[0], high[1] - low[1])) / 2.0
    rod = trimesh.creation.capsule(radius=radius_m, height=0.5)
    arm = make_mesh(np.asarray(rod.vertices), np.asarray(rod.faces))
    room = staged.frame(make_T(np.eye(3), [0.0, 0.0, -5.0]))
    for turn in (0.0, 0.8):
        T = make_T(exp_so3([1.5, 0.0, 0.0]) @ exp_so3([0.0, turn, 0.0]), np.array([0.1, 0.0, 0.65]))
        z = render(arm, T, room.K, room.size_px).depth[0]
        there = z > 0.0
        rgb = np.where(there[..., None], np.uint8(128), room.rgb)  # of the model's own grey
        frame = noisy(replace(room, depth_m=np.where(there, z, room.depth_m).astype(np.float32), rgb=rgb))
        assert detector.detect(frame, staged.buffers(frame)).found is None
