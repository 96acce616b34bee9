"""Rows, colour statistics and evidence of the three modalities: by geometry, by differences, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import warp as wp

from storm_edge.geometry.camera import project
from storm_edge.geometry.se3 import exp_so3, make_T, transform
from storm_edge.kernels import contour_region, photometric, point_to_plane
from storm_edge.kernels import evidence as ev
from storm_edge.kernels.descent_structs import (
    ColourUpdate,
    ContourModel,
    PoseBuffers,
    SparseObject,
    StepNumbers,
    SurfaceModel,
)
from storm_edge.kernels.device import require_device
from storm_edge.kernels.image_descriptor import RgbdImage
from storm_edge.kernels.reference import contour_region as region_reference
from storm_edge.kernels.reference import evidence as evidence_reference
from storm_edge.kernels.reference import gauss_newton as step_reference
from storm_edge.kernels.reference import photometric as photometric_reference
from storm_edge.kernels.reference import point_to_plane as plane_reference
from storm_edge.kernels.reference.posed_image import ContourPoints, PosedImage, SurfacePoints
from storm_edge.objects.on_device import principal_tones
from tests.kernels.tracking import K_CAMERA, SIZE_PX, T_TRUE, moved, picture, views

ROW_TOLERANCE = 2e-4  # of the largest entry of a column; worst seen 1e-5 on an x86-64 CPU
DERIVATIVE_TOLERANCE = 1e-3  # relative; worst seen 2e-5 (float32 rows against float64 differences)
SUM_TOLERANCE = 1e-4  # relative; worst seen 2e-6 on an x86-64 CPU
STRAY_ROWS = 2  # rows where float32 puts a sample on the other side of a pixel's border
VARIANCE = contour_region.ideal_variance()
PLANE = {"reach_m": 0.02, "stride_m": 0.007, "deviation": 0.02, "occlusion_m": 0.02}
LINES = {"scale_px": 2, "deviation_px": 3.5, "variance_floor": VARIANCE, "occlusion_m": 0.03}
COLOURS = {"blur_px": 2.0, "deviation": 0.2, "agreement_m": 0.015}
NOISE = [0.0, 0.2]  # allowed depth noise [1/m]; at the object the second is wider than any of the limits above


class Setting:
    """One pose, one picture and the object's views on a device; each method launches one kernel."""

    def __init__(self, T, shot, device="cpu", noise_per_m=0.0):
        self.device = require_device(device)
        self.model = views()
        self.k = step_reference.closest_view(T, self.model.directions)
        up, m = self.upload, self.model
        self.point_count = m.contour_points.shape[1]
        self.image = RgbdImage()
        self.image.rgb, self.image.depth = up(shot.rgb, wp.uint8), up(shot.depth, wp.float32)
        self.buffers = buffers = PoseBuffers()
        buffers.camera = up([[K_CAMERA[0, 0], K_CAMERA[1, 1], K_CAMERA[0, 2], K_CAMERA[1, 2]]], wp.vec4)
        buffers.poses, buffers.views = up(T[None], wp.mat44), up([self.k], wp.int32)
        buffers.rows = wp.zeros((1, self.point_count, 8), dtype=wp.float32, device=self.device)
        self.contour = contour = ContourModel()
        contour.points, contour.normals = up(m.contour_points, wp.vec3), up(m.contour_normals, wp.vec3)
        contour.distances = up(m.contour_distances, wp.vec2)
        contour.variance_floor, contour.occlusion_m = LINES["variance_floor"], LINES["occlusion_m"]
        self.surface = surface = SurfaceModel()
        surface.points, surface.normals = up(m.surface_points, wp.vec3), up(m.surface_normals, wp.vec3)
        self.axis, tones = principal_tones(m.surface_colours)
        surface.tones, surface.axis, self.tones_here = up(tones, wp.float32), wp.vec3(*self.axis), tones[self.k]
        surface.gate_m, surface.occlusion_m = 0.01, LINES["occlusion_m"]
        surface.agreement_m = COLOURS["agreement_m"]
        surface.noise_per_m = contour.noise_per_m = noise_per_m

    def upload(self, array, dtype):
        scalar = {wp.uint8: np.uint8, wp.int32: np.int32}.get(dtype, np.float32)
        return wp.array(np.ascontiguousarray(array, dtype=scalar), dtype=dtype, device=self.device)

    def view(self, name):
        return getattr(self.model, name)[self.k]

    @property
    def contour_points(self):
        return ContourPoints(*(self.view(f"contour_{name}") for name in ("points", "normals", "distances")))

    @property
    def surface_points(self):
        return SurfacePoints(self.view("surface_points"), self.view("surface_normals"), self.tones_here, self.axis)

    def rows(self, kernel, model, step, *first_row):
        self.buffers.rows.zero_()
        inputs = [self.image, model, step, *first_row, self.buffers]
        wp.launch(kernel, dim=(1, self.point_count), inputs=inputs, device=self.device)
        return self.buffers.rows.numpy()[0].astype(np.float64)

    def plane_rows(self, every=1):
        step = StepNumbers()
        step.every, step.reach_m, step.stride_m = every, PLANE["reach_m"], PLANE["stride_m"]
        step.depth_deviation = PLANE["deviation"]
        return self.rows(point_to_plane.point_to_plane_rows_kernel, self.surface, step)

    def region_rows(self, log_odds):
        self.contour.log_odds = self.upload(log_odds, wp.float32)
        step = StepNumbers()
        step.every, step.scale_px, step.contour_px = 1, LINES["scale_px"], LINES["deviation_px"]
        return self.rows(contour_region.region_rows_kernel, self.contour, step, 0)

    def photometric_rows(self, gain, bias, *, deviation=None):
        self.surface.exposure = self.upload([[gain, bias]], wp.vec2)
        step = StepNumbers()
        step.every, step.blur_px = 1, COLOURS["blur_px"]
        step.texture_deviation = COLOURS["deviation"] if deviation is None else deviation
        return self.rows(photometric.photometric_rows_kernel, self.surface, step, 0)

    def counts(self):
        update, known = ColourUpdate(), SparseObject()
        known.contour, known.surface = self.contour, self.surface
        update.counts = wp.zeros((2, contour_region.BIN_COUNT + 1), dtype=wp.float32, device=self.device)
        update.gap_px, update.line_px = 1.0, 20.0
        inputs = [self.image, known, self.buffers, update]
        wp.launch(contour_region.count_colours_kernel, dim=self.point_count, inputs=inputs, device=self.device)
        return update.counts

    def evidence(self, log_odds):
        self.contour.log_odds = self.upload(log_odds, wp.float32)
        sums = wp.zeros((1, ev.SUM_COUNT), dtype=wp.float32, device=self.device)
        dim = (1, self.point_count)
        for kernel, model in (
            (ev.surface_evidence_kernel, self.surface),
            (ev.contour_evidence_kernel, self.contour),
        ):
            wp.launch(kernel, dim=dim, inputs=[self.image, model, self.buffers, sums], device=self.device)
        return sums.numpy()[0]


def learned_odds(shot):
    """Colour table of the true pose."""
    setting = Setting(T_TRUE, shot)
    return learn(setting.counts())[1]


def learn(counts, rate=1.0, histograms=None):
    """Histograms and table after blending counts; on the CPU."""
    if histograms is None:
        histograms = np.zeros((2, contour_region.BIN_COUNT), np.float32)
    histograms = wp.array(histograms, dtype=wp.float32, device="cpu")
    log_odds = wp.zeros(contour_region.BIN_COUNT, dtype=wp.float32, device="cpu")
    inputs = [rate, counts, histograms, log_odds]
    wp.launch(contour_region.update_colours_kernel, dim=contour_region.BIN_COUNT, inputs=inputs, device="cpu")
    return histograms.numpy(), log_odds.numpy()


def assert_rows_match(rows, expected, least):
    assert expected[:, 7].sum() >= least
    scale = np.abs(expected).max(axis=0) + 1e-9
    wrong = (np.abs(rows - expected) > ROW_TOLERANCE * scale).any(axis=1)
    assert wrong.sum() <= STRAY_ROWS


def numerical_derivative(f, T, step=1e-5):
    """``d f(T) / d (w, v)``, ``(P, 6)``, for ``f`` of the pose with shape ``(P,)``."""
    columns = []
    for axis in range(6):
        x = np.zeros(6)
        x[axis] = step
        ahead = make_T(exp_so3(x[:3]) @ T[:3, :3], T[:3, 3] + x[3:])
        back = make_T(exp_so3(-x[:3]) @ T[:3, :3], T[:3, 3] - x[3:])
        columns.append((f(ahead) - f(back)) / (2.0 * step))
    return np.stack(columns, axis=1)


@pytest.fixture(scope="module")
def shot():
    return picture()


@pytest.fixture(scope="module")
def odds(shot):
    return learned_odds(shot)


@pytest.fixture
def T(rng):
    return moved(T_TRUE, 4.0, 0.004, rng)


def reference_rows(kind, setting, shot, T, odds, noise_per_m=0.0):
    image = PosedImage(shot.rgb, shot.depth, K_CAMERA, T)
    if kind == "depth":
        view = setting.view("surface_points"), setting.view("surface_normals")
        return plane_reference.point_to_plane_rows(image, *view, **PLANE, noise_per_m=noise_per_m)
    if kind == "region":
        return region_reference.region_rows(image, setting.contour_points, odds, **LINES, noise_per_m=noise_per_m)
    numbers = {"gain": 0.9, "bias": 0.05, "noise_per_m": noise_per_m, **COLOURS}
    return photometric_reference.photometric_rows(image, setting.surface_points, **numbers)


def kernel_rows(kind, setting, odds):
    if kind == "depth":
        return setting.plane_rows()
    return setting.region_rows(odds) if kind == "region" else setting.photometric_rows(0.9, 0.05)


@pytest.mark.parametrize("noise_per_m", NOISE)
@pytest.mark.parametrize("kind", ["depth", "region", "photometric"])
def test_rows_match_the_reference(kind, noise_per_m, shot, odds, T):
    setting = Setting(T, shot, noise_per_m=noise_per_m)
    expected = reference_rows(kind, setting, shot, T, odds, noise_per_m)
    assert_rows_match(kernel_rows(kind, setting, odds), expected, least=60)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["depth", "region", "photometric"])
def test_rows_match_the_reference_on_cuda(kind, shot, odds, T, cuda):
    setting = Setting(T, shot, cuda)
    assert_rows_match(kernel_rows(kind, setting, odds), reference_rows(kind, setting, shot, T, odds), least=60)


def test_depth_rows_are_derivatives_of_the_plane_distance(shot, T):
    """With the correspondence held fixed the residual is ``weight * normal . (X - P)``."""
    setting = Setting(T, shot)
    rows = setting.plane_rows()
    valid = rows[:, 7] > 0
    normals = (setting.view("surface_normals") @ T[:3, :3].T)[valid]
    weight = 1.0 / (PLANE["deviation"] * transform(T, setting.view("surface_points"))[valid, 2])

    def distance(pose):
        return weight * np.sum(normals * transform(pose, setting.view("surface_points"))[valid], axis=1)

    expected = numerical_derivative(distance, T)
    np.testing.assert_allclose(
        rows[valid, :6], expected, rtol=DERIVATIVE_TOLERANCE, atol=DERIVATIVE_TOLERANCE * np.abs(expected).max()
    )


def test_region_rows_are_derivatives_of_the_contour(shot, odds, T):
    """Up to the line's own weight, a row moves as the projected contour point along its normal."""
    setting = Setting(T, shot)
    rows = setting.region_rows(odds)
    valid = rows[:, 7] > 0
    normals = (setting.view("contour_normals") @ T[:3, :3].T)[valid, :2]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)

    def along_the_normal(pose):
        return np.sum(normals * project(K_CAMERA, transform(pose, setting.view("contour_points")[valid])), axis=1)

    expected = numerical_derivative(along_the_normal, T)
    weight = np.linalg.norm(rows[valid, 3:6], axis=1) / np.linalg.norm(expected[:, 3:6], axis=1)
    assert weight.max() <= 1.001 / LINES["deviation_px"]  # no line counts more than a perfect one
    expected *= weight[:, None]
    np.testing.assert_allclose(
        rows[valid, :6], expected, rtol=DERIVATIVE_TOLERANCE, atol=DERIVATIVE_TOLERANCE * np.abs(expected).max()
    )


def test_colour_rows_are_derivatives_of_the_tone(shot, T):
    """On an image whose brightness is a slope, smoothing is exact; a wide deviation makes rows linear."""
    v, u = np.mgrid[: SIZE_PX[0], : SIZE_PX[1]]
    ramp = (0.3 * u + 0.5 * v + 10.0)[..., None].repeat(3, axis=2)
    setting = Setting(T, shot)
    setting.image.rgb = setting.upload(np.floor(ramp + 0.5), wp.uint8)
    rows = setting.photometric_rows(1.0, 0.0, deviation=1e3)
    valid = rows[:, 7] > 0

    def tone(pose):
        x, y = project(K_CAMERA, transform(pose, setting.view("surface_points")[valid])).T
        return setting.axis.sum() * (0.3 * x + 0.5 * y + 10.0) / 255.0 / 1e3

    expected = numerical_derivative(tone, T)
    # The image holds whole numbers, so its slope over 4 px is off by up to 1/4 per px in either direction.
    np.testing.assert_allclose(rows[valid, :6], expected, atol=0.45 * np.abs(expected).max())
    np.testing.assert_allclose(np.median(rows[valid, :6] / expected, axis=0), 1.0, atol=0.15)


@pytest.mark.parametrize("shift_px", [-6.0, -3.0, 0.0, 4.0, 7.0])
def test_a_straight_edge_is_measured_where_it_is(shift_px):
    """An edge ``shift_px`` outside the contour pulls it outwards by that much, at every scale that sees it."""
    foreground = np.zeros(contour_region.SEGMENT_COUNT)
    for scale_px in (1, 2, 4):
        middle = 0.5 * contour_region.SEGMENT_COUNT
        foreground = (np.arange(contour_region.SEGMENT_COUNT) + 0.5 < middle + shift_px / scale_px).astype(np.float64)
        if abs(shift_px) / scale_px > 4.0:
            continue
        mean, variance = region_reference.displacement(0.02 + 0.96 * foreground)
        assert abs(mean * scale_px - shift_px) <= 0.6 * scale_px
        assert variance < 3.0 * VARIANCE


def test_an_edge_without_contrast_says_nothing():
    """Even posterior: mean in the middle, variance of twelve equal displacements (143/12)."""
    mean, variance = region_reference.displacement(np.full(contour_region.SEGMENT_COUNT, 0.5))
    assert mean == pytest.approx(0.0)
    assert variance == pytest.approx(143.0 / 12.0)


@pytest.mark.parametrize("noise_per_m", NOISE)
def test_colour_counts_match_the_reference(noise_per_m, shot, T):
    setting = Setting(T, shot, noise_per_m=noise_per_m)
    expected = region_reference.count_colours(
        PosedImage(shot.rgb, shot.depth, K_CAMERA, T),
        setting.contour_points,
        setting.view("surface_points"),
        gap_px=1.0,
        length_px=20.0,
        agreement_m=0.015,
        noise_per_m=noise_per_m,
    )
    counts = setting.counts().numpy()
    np.testing.assert_allclose(counts[:, -1], expected.sum(axis=1), atol=9 * STRAY_ROWS)
    assert np.abs(counts[:, :-1] - expected).sum() <= 18 * STRAY_ROWS


def test_what_covers_the_object_is_not_learned_as_its_colour(shot):
    """A hand before the object taught the tracker its own colour, and the pose then slid under the hand."""
    covered = picture()
    hand = np.array([10, 250, 10], dtype=np.uint8)
    covered.rgb[:, 165:] = hand
    covered.depth[:, 165:] = 0.5
    counts = Setting(T_TRUE, covered).counts().numpy()
    hand_bin = region_reference.colour_bins(hand[None])[0]
    assert counts[0, hand_bin] < 0.02 * counts[0, -1]
    assert counts[1, hand_bin] > 0


def test_histograms_blend_and_forget():
    counts = np.zeros((2, contour_region.BIN_COUNT + 1), np.float32)
    counts[0, 5], counts[0, -1] = 40.0, 40.0
    counts[1, 5], counts[1, 9], counts[1, -1] = 10.0, 10.0, 20.0
    old = np.zeros((2, contour_region.BIN_COUNT), np.float32)
    old[:, 7] = 1.0
    histograms, odds = learn(wp.array(counts, dtype=wp.float32, device="cpu"), 0.25, old)
    np.testing.assert_allclose(histograms[:, [5, 7, 9]], [[0.25, 0.75, 0.0], [0.125, 0.75, 0.125]])
    assert odds[5] == pytest.approx(np.log(2.0), abs=1e-3)
    assert odds[7] == 0.0
    assert odds[9] < -6.0  # seen in the background only
    assert odds[11] == 0.0  # never seen


@pytest.mark.parametrize("noise_per_m", NOISE)
def test_evidence_matches_the_reference(noise_per_m, shot, odds, T):
    setting = Setting(T, shot, noise_per_m=noise_per_m)
    image = PosedImage(shot.rgb, shot.depth, K_CAMERA, T)
    limits = {"occlusion_m": 0.03, "noise_per_m": noise_per_m}
    expected = evidence_reference.surface_evidence(image, setting.surface_points, gate_m=0.01, **limits)
    expected += evidence_reference.contour_evidence(image, setting.contour_points, odds, **limits)
    assert expected[ev.JUDGED] > 150
    assert expected[ev.LINES] > 150
    np.testing.assert_allclose(setting.evidence(odds), expected, rtol=SUM_TOLERANCE, atol=2e-3)


def test_exposure_is_the_line_through_the_colours(shot):
    """Moments of tones that are exactly ``0.6 * model + 0.1`` give back these two numbers."""
    m = np.random.default_rng(1).uniform(0.0, 1.0, 100)
    o = 0.6 * m + 0.1
    sums = np.zeros((1, ev.SUM_COUNT), np.float32)
    sums[0, ev.INLIERS] = 100
    sums[0, ev.MODEL_SUM], sums[0, ev.IMAGE_SUM] = m.sum(), o.sum()
    sums[0, ev.MODEL_SQUARE], sums[0, ev.IMAGE_SQUARE], sums[0, ev.PRODUCT] = (
        (m * m).sum(),
        (o * o).sum(),
        (m * o).sum(),
    )
    exposure = wp.zeros(1, dtype=wp.vec2, device="cpu")
    inputs = [1.0, wp.array(sums, dtype=wp.float32, device="cpu"), exposure]
    wp.launch(photometric.update_exposure_kernel, dim=1, inputs=inputs, device="cpu")
    np.testing.assert_allclose(exposure.numpy()[0], [0.6, 0.1], atol=1e-4)


def test_tones_tell_colours_of_equal_brightness_apart():
    """Red and green of one brightness: a grey picture shows nothing of it, the principal direction all."""
    colours = np.array([[0.6, 0.2, 0.3], [0.2, 0.6, 0.3], [0.6, 0.2, 0.3], [0.2, 0.6, 0.3]], np.float32)
    axis, tones = principal_tones(colours)
    np.testing.assert_allclose(np.abs(axis), [np.sqrt(0.5), np.sqrt(0.5), 0.0], atol=1e-6)
    assert np.ptp(tones) == pytest.approx(0.4 * np.sqrt(2.0))


def test_hidden_points_and_missing_depth_make_no_rows(shot, odds):
    """Depth 0, NaN, and something 10 cm in front: no depth rows, no colour of what is hidden, nothing but zeros."""
    for reading in (0.0, np.nan, 0.45):
        blank = picture()
        blank.depth[:] = reading
        setting = Setting(T_TRUE, blank)
        assert not setting.plane_rows().any()
        sums = setting.evidence(odds)
        assert np.isfinite(sums).all()
        assert sums[ev.JUDGED] == 0
    assert not setting.photometric_rows(0.9, 0.05).any()  # hidden at last
    assert not setting.region_rows(odds).any()


def test_every_second_point_gives_every_second_row(shot, T):
    setting = Setting(T, shot)
    np.testing.assert_array_equal(setting.plane_rows(every=2)[: setting.point_count // 2], setting.plane_rows()[::2])
