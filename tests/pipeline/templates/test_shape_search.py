"""Places by shape: the staged mug, mostly in one grey, where no colour can help."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.evaluate.metrics import mask_iou
from storm_edge.frame import Frame
from storm_edge.geometry.mesh import diameter, make_mesh
from storm_edge.geometry.se3 import make_T
from storm_edge.geometry.symmetry import nearest_symmetric
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.segment.config import ProposalConfig
from storm_edge.pipeline.segment.segmentation import Candidate, bounding_box
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.templates.config import ShapeSearchConfig
from storm_edge.pipeline.templates.shape_search import ShapeSearch
from storm_edge.pipeline.templates.views import build_templates
from tests.staged import TABLE_DEPTH_M, Staged


@pytest.fixture(scope="module")
def search(staged: Staged) -> ShapeSearch:
    return ShapeSearch(staged.item, ShapeSearchConfig(), ProposalConfig())


def grey(frame: Frame) -> Frame:
    return replace(frame, rgb=np.full_like(frame.rgb, 128))


def moved(staged: Staged, x_m: float, y_m: float, z_m: float) -> np.ndarray:
    return make_T(staged.T_cam_centre[:3, :3], [x_m, y_m, z_m])


@pytest.mark.parametrize(
    "at_m",
    [(0.03, -0.02, 0.65), (-0.33, 0.1, 0.65), (0.1, 0.24, 0.6), (0.2, 0.1, 0.8)],
    ids=["middle", "cut off at the left", "cut off below", "small"],
)
def test_the_grey_mug_is_the_first_place(
    staged: Staged, search: ShapeSearch, colour_segmenter: Segmenter, at_m: tuple[float, float, float]
) -> None:
    T = moved(staged, *at_m)
    found = search.candidates(colour_segmenter.encode_image(grey(staged.frame(T))))
    assert found
    starts = found[0].starts
    assert starts is not None
    off_m = np.linalg.norm(starts[:, :3, 3] - T[:3, 3], axis=1)
    assert off_m.min() < 0.15 * staged.bundle.diameter_m
    assert mask_iou(found[0].mask, staged.mask(T)) > 0.5
    assert mask_iou(found[0].grown, staged.mask(T)) > 0.7, "of all that stands out there, whatever the pose"
    near = [nearest_symmetric(start, T, staged.bundle.symmetries) for start in starts]
    turns = [np.degrees(np.arccos(np.clip((np.trace(N[:3, :3].T @ T[:3, :3]) - 1.0) / 2.0, -1.0, 1.0))) for N in near]
    assert min(turns) < 40.0, "half the gap between two templates, and what the image cut off"


def shrunk(frame: Frame, step: int, left: int, top: int) -> Frame:
    """The picture at every so manieth pixel, from a corner on in an image of the wall alone."""
    K = frame.K.copy()
    K[:2] /= step
    K[:2, 2] += [left, top]
    rgb, depth_m = np.full_like(frame.rgb, 128), np.full_like(frame.depth_m, TABLE_DEPTH_M)
    thin = frame.depth_m[::step, ::step]
    window = slice(top, top + thin.shape[0]), slice(left, left + thin.shape[1])
    depth_m[window] = thin
    return replace(frame, rgb=rgb, depth_m=depth_m, K=K)


def test_an_object_of_30_px_is_the_first_place(
    staged: Staged, search: ShapeSearch, colour_segmenter: Segmenter
) -> None:
    T = moved(staged, 0.05, 0.02, 0.75)
    step = round(570.0 * staged.bundle.diameter_m / 0.75 / 30.0)
    found = search.candidates(colour_segmenter.encode_image(shrunk(staged.frame(T), step, 300, 50)))
    assert found
    starts = found[0].starts
    assert starts is not None
    off_m = np.linalg.norm(starts[:, :3, 3] - T[:3, 3], axis=1)
    assert off_m.min() < 0.2 * staged.bundle.diameter_m
    area_px = np.count_nonzero(staged.mask(T)) / step**2
    assert 0.5 * area_px < np.count_nonzero(found[0].mask) < 1.5 * area_px


def test_of_two_equal_shapes_the_one_with_the_models_colours_comes_first(
    staged: Staged, search: ShapeSearch, colour_segmenter: Segmenter
) -> None:
    """Though the image's edge cuts it off, and the other, of changed colours, is seen whole."""
    T, T_other = moved(staged, -0.3, 0.1, 0.65), moved(staged, 0.1, 0.0, 0.65)
    one, other = staged.frame(T), staged.frame(T_other)
    other_rgb = np.where(staged.mask(T_other)[..., None], other.rgb[..., ::-1] // 2, one.rgb)
    both = replace(one, rgb=other_rgb, depth_m=np.minimum(one.depth_m, other.depth_m))
    found = search.candidates(colour_segmenter.encode_image(both))
    overlaps = [mask_iou(candidate.grown, staged.mask(T)) for candidate in found]
    assert overlaps[0] > 0.5
    others = [mask_iou(candidate.grown, staged.mask(T_other)) for candidate in found]
    assert max(others) > 0.7, "proposed by its shape"


def test_an_image_without_depth_has_no_place(
    staged: Staged, search: ShapeSearch, colour_segmenter: Segmenter
) -> None:
    frame = staged.frame()
    blind = replace(frame, depth_m=np.zeros_like(frame.depth_m))
    assert search.candidates(colour_segmenter.encode_image(blind)) == []


def test_templates_are_the_same_every_time_and_fewer_by_symmetry(staged: Staged) -> None:
    config, d = ShapeSearchConfig().templates, staged.bundle.diameter_m
    lone, again = (build_templates(staged.item.mesh_lod, np.eye(4)[None], d, config) for _ in range(2))
    assert len(lone) == 42 * config.inplane_count
    for name in ("rotations", "surface", "normals", "beside", "outline", "outwards", "anchors"):
        np.testing.assert_array_equal(getattr(lone, name), getattr(again, name))
    half_turn = np.stack([np.eye(4), np.diag([-1.0, -1.0, 1.0, 1.0])])
    assert len(build_templates(staged.item.mesh_lod, half_turn, d, config)) < 0.6 * len(lone)


def test_a_card_has_no_template_of_its_edge() -> None:
    """Nothing is seen of it from there, and no warning tells of that."""
    corners = np.array([[-0.05, -0.035, 0.0], [0.05, -0.035, 0.0], [0.05, 0.035, 0.0], [-0.05, 0.035, 0.0]])
    card = make_mesh(corners, np.array([[0, 1, 2], [0, 2, 3], [2, 1, 0], [3, 2, 0]]))
    config = ShapeSearchConfig().templates
    templates = build_templates(MeshBuffers.from_mesh(card), np.eye(4)[None], diameter(corners), config)
    assert 0 < len(templates) < 42 * config.inplane_count


def test_points_of_a_template_lie_on_the_model(staged: Staged) -> None:
    """Turned back, every surface point of every view is within a sampling step of the mesh."""
    config, d = ShapeSearchConfig().templates, staged.bundle.diameter_m
    templates = build_templates(staged.item.mesh_lod, np.eye(4)[None], d, config)
    points = np.einsum("vji,vpj->vpi", templates.rotations[::37], templates.surface[::37]).reshape(-1, 3)
    vertices = staged.bundle.mesh_lod.vertices
    nearest_m = np.linalg.norm(points[:, None] - vertices[None], axis=2).min(axis=1)
    assert np.quantile(nearest_m, 0.99) < 0.06 * d


def test_a_mark_has_places_of_its_own(staged: Staged, search: ShapeSearch, colour_segmenter: Segmenter) -> None:
    """The place of a mark comes first, though a larger surface elsewhere may fit as well."""
    T = moved(staged, 0.03, -0.02, 0.65)
    mask = staged.mask(T)
    marked = Candidate(mask=mask, grown=mask, score=0.5, box=bounding_box(mask))
    image = colour_segmenter.encode_image(staged.frame(T))
    there, anywhere = run_to_completion(search.chunks(image, [marked]))
    d, most = staged.bundle.diameter_m, ShapeSearchConfig().places_at_mark.max_places
    assert 0 < len(there) <= most
    assert next(anywhere).mark is None
    for candidate in there:
        assert candidate.mark is marked
        assert candidate.starts is not None
        assert np.linalg.norm(candidate.starts[0, :3, 3] - T[:3, 3]) < 0.8 * d
    assert run_to_completion(search.chunks(image))[0] == []


def test_a_mark_without_depth_has_none(staged: Staged, search: ShapeSearch, colour_segmenter: Segmenter) -> None:
    frame = staged.frame()
    mask = staged.mask()
    marked = Candidate(mask=mask, grown=mask, score=0.5, box=bounding_box(mask))
    blind = replace(frame, depth_m=np.where(mask, 0.0, frame.depth_m).astype(np.float32))
    there, _ = run_to_completion(search.chunks(colour_segmenter.encode_image(blind), [marked]))
    assert there == []


def test_a_mark_where_nothing_fits_has_none(staged: Staged, search: ShapeSearch, colour_segmenter: Segmenter) -> None:
    """A corner of the table, which is flat."""
    mask = np.zeros_like(staged.mask())
    mask[-40:, -40:] = True
    marked = Candidate(mask=mask, grown=mask, score=0.5, box=bounding_box(mask))
    there, anywhere = run_to_completion(search.chunks(colour_segmenter.encode_image(staged.frame()), [marked]))
    assert there == []
    assert next(anywhere).mark is None
