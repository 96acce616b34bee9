"""Other scales of a model: which one is found, when none is tried, and that right models are left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from storm_edge.errors import MaskError, UnitError
from storm_edge.geometry.mesh import Mesh
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.objects.onboard import onboard
from storm_edge.objects.ply import write_ply
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.register.config import FAST, ScaleConfig
from storm_edge.pipeline.register.registrar import Registrar
from storm_edge.pipeline.register.scale_probe import NOTHING, BetterScale, Explained, ScaleProbe
from storm_edge.synthetic.objects import make_object
from tests.staged import Staged

CONFIG = ScaleConfig()
FAMILIES = ("mug", "box", "bottle")
Models = Callable[[str, float], ObjectBundle]


def explained(share: float) -> Explained:
    return Explained(visible=share, agreeing=share, overlap=min(share, 0.8))


class Scene:
    """Stands for registrations: says what is explained at each scale, quickly or as well as can be, and who asks."""

    def __init__(self, staged: Staged, shares: dict[float, float], quick: dict[float, float] | None = None) -> None:
        self._staged, self._shares, self._quick = staged, shares, shares if quick is None else quick
        self._median_m = float(np.median(staged.frame().depth_m))
        self.asked: list[float] = []
        self.asked_quickly: list[float] = []

    def better_scale(self, given: Explained) -> BetterScale | None:
        def quick(frame: FrameBuffers, mask: np.ndarray) -> Explained:
            return self._said(frame, self._quick, self.asked_quickly)

        def whole(frame: FrameBuffers, mask: np.ndarray) -> Explained:
            return self._said(frame, self._shares, self.asked)

        frame, mask = self._staged.buffers(), self._staged.mask()
        return ScaleProbe(CONFIG).better_scale(frame, mask, given, quick=quick, whole=whole)

    def _said(self, frame: FrameBuffers, shares: dict[float, float], asked: list[float]) -> Explained:
        factor = round(self._median_m / float(np.median(frame.depth.numpy())), 4)
        asked.append(factor)
        if factor not in shares:
            raise MaskError("no object of this size")
        return explained(shares[factor])


@pytest.mark.parametrize(
    ("shares", "factor"),
    [
        ({2.0: 0.9, 4.0: 0.5, 0.5: 0.1}, 2.0),
        ({2.0: 0.1, 0.5: 0.9}, 0.5),
        ({2.0: 0.1, 0.5: 0.5, 0.25: 0.9}, 0.25),
        ({2.0: 0.35, 0.5: 0.1}, None),
        ({}, None),
    ],
)
def test_the_scale_that_explains_most_is_taken(
    staged: Staged, shares: dict[float, float], factor: float | None
) -> None:
    found = Scene(staged, shares).better_scale(explained(0.3))
    assert (None if found is None else found.factor) == factor


def test_nothing_is_tried_where_mask_and_pose_fit(staged: Staged) -> None:
    scene = Scene(staged, {2.0: 1.0, 0.5: 1.0})
    assert scene.better_scale(replace(NOTHING, overlap=0.9)) is None
    assert not scene.asked
    assert not scene.asked_quickly


def test_the_whole_schedule_is_asked_only_where_the_quick_one_gains(staged: Staged) -> None:
    """And decides there: what looks better at first may not be."""
    scene = Scene(staged, {2.0: 0.31, 0.5: 0.9}, quick={2.0: 0.5, 0.5: 0.3})
    assert scene.better_scale(explained(0.3)) is None
    assert scene.asked_quickly == [2.0, 0.5]
    assert scene.asked == [2.0]


def test_what_explains_less_under_the_mask_is_not_taken(staged: Staged) -> None:
    """Half a mask: a smaller model lies wholly under it, the right one agrees with the rest of the scene."""
    given = Explained(visible=0.5, agreeing=0.1, overlap=0.1)
    assert Scene(staged, {0.5: 0.49, 2.0: 0.49}).better_scale(given) is None


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Makes a generated object, some times as large as it is; each once."""
    folder = tmp_path_factory.mktemp("models")

    @cache
    def make(family: str, factor: float) -> ObjectBundle:
        path = folder / f"{family}-{factor:g}.ply"
        mesh = mesh_of(family)
        write_ply(path, replace(mesh, vertices=mesh.vertices * factor))
        return onboard(path, "mm", view_subdivisions=1)

    return make


@cache
def mesh_of(family: str) -> Mesh:
    return make_object(11, family=family, paint_kind="labels", diameter_m=0.16, face_count=3000).mesh


def staged_object(bundle: ObjectBundle, family: str) -> Staged:
    """The object before a wall."""
    return Staged(bundle, mesh_of(family), make_T(exp_so3([2.0, 0.3, -0.2]), [0.02, 0.0, 0.65]))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_model_of_half_or_twice_the_size_is_refused(family: str, factor: float, models: Models) -> None:
    """Some were TRACKING, with a confidence of 0.54 and 0.36 m off; most were SUSPECT without a word."""
    staged = staged_object(models(family, 1.0), family)
    registrar = Registrar(ObjectOnDevice(models(family, factor)), None, config=FAST)
    with pytest.raises(UnitError, match=f"multiply the model by {1 / factor:g} .*depth_scale.*fx and fy") as caught:
        registrar.register(staged.buffers(), staged.mask())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("axis", [0, 1])
def test_a_right_model_that_is_hidden_is_not_refused(family: str, axis: int, models: Models) -> None:
    staged = staged_object(models(family, 1.0), family)
    mask = staged.mask()
    edge = int(np.percentile(np.nonzero(mask)[axis], 55))
    window = (slice(0, edge), slice(0, 640)) if axis == 0 else (slice(0, 480), slice(0, edge))
    mask[window] = False
    Registrar(staged.item, None).register(staged.buffers(staged.frame(hidden=window)), mask)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mask_of_half_an_object_is_not_refused(family: str, models: Models) -> None:
    staged = staged_object(models(family, 1.0), family)
    mask = staged.mask()
    mask[:, int(np.median(np.nonzero(mask)[1])) :] = False
    Registrar(staged.item, None).register(staged.buffers(), mask)


def test_the_probe_leaves_the_registration_as_it_is(models: Models) -> None:
    """Registrations after one with a probe are those of a registrar that never had one."""
    staged = staged_object(models("mug", 1.0), "mug")
    mask = staged.mask()
    mask[:, int(np.median(np.nonzero(mask)[1])) :] = False
    registrar = Registrar(staged.item, None, config=FAST)
    registrar.register(staged.buffers(), mask)
    again = registrar.register(staged.buffers(), staged.mask())
    fresh = Registrar(staged.item, None, config=FAST).register(staged.buffers(), staged.mask())
    np.testing.assert_array_equal(again.T_cam_centre, fresh.T_cam_centre)
