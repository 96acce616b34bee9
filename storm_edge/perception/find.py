"""Find: candidates of the segmenter, verified by registering them.

A mask can look right and be wrong; a pose at which the rendered model agrees with depth, outline and colour seldom
is. So every candidate is registered with a short schedule and judged, and the object counts as found only where that
verdict is good. The best verdict wins, and a candidate near the object's last place wins a close call, so that of two
equal objects the same one is found every time.

The work comes in chunks, as in `perception.register`, for loops that must not wait.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.onnx_runtime import OrtOptions
from storm_edge.errors import MaskError, UnitError
from storm_edge.frames import Frame
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.raster import render
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.perception.inputs import FrameBuffers
from storm_edge.perception.judge import JudgeConfig, PoseJudge
from storm_edge.perception.register import RegisterConfig, Registrar, Stage
from storm_edge.perception.segment import Candidate, ObjectLook, Segmentation, Segmenter

Float64 = NDArray[np.float64]

QUICK = RegisterConfig(
    stages=(Stage(keep=64), Stage(geometry=3, keep=16), Stage(geometry=6, keep=4), Stage(geometry=6)),
    network_weight=0.0,
)
"""A registration that is just good enough to tell right from wrong."""


@dataclass(frozen=True, kw_only=True)
class FindConfig:
    """When an object counts as found."""

    quick: RegisterConfig = QUICK
    """How candidates are registered."""
    min_verdict: float = 0.5
    """Verdict from which a candidate is the object."""
    sure_verdict: float = 0.8
    """Verdict at which no further candidate is tried."""
    same_place_bonus: float = 0.05
    """Added to the verdict of a candidate that lies where the object was seen last."""
    min_seen: float = 0.15
    """Share of the model that must be seen; a verdict on less is worth nothing."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """An object that was found."""

    mask: NDArray[np.bool_]
    """What of the model at its pose is seen, ``(H, W)``."""
    candidate: Candidate
    """The segmenter's mask that led there."""
    T_cam_centre: Float64
    """Pose of the centred mesh [m] ``(4, 4)``; good for a mask, and a start for a full registration."""
    verdict: float
    """How well the model agrees with the image there, 0..1."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a search came to."""

    found: Finding | None
    """The object, or None: it is not there, or not to be seen well enough."""
    verdict: float
    """The best verdict, 0 without candidates."""
    segmentation: Segmentation
    """What the segmenter said."""


class Finder:
    """Finds one object; buffers are made here.

    Args:
        bundle: The onboarded object.
        segmenter: Shared by all objects.
        networks: For the registration's schedule, if it asks networks.
        config: When an object counts as found.
        device: Warp device name.
        look: The segmenter's look of the object if it was saved; it is made anew otherwise.
        options: Where and how the engines run.

    Raises:
        ObjectBundleError: ``look`` is of another object or by another network.
    """

    def __init__(
        self,
        bundle: ObjectBundle,
        segmenter: Segmenter,
        *,
        networks: NetworkBundle | None = None,
        config: FindConfig | None = None,
        device: str = "cpu",
        look: ObjectLook | None = None,
        options: OrtOptions | None = None,
    ) -> None:
        self._bundle = bundle
        self._segmenter = segmenter
        self._config = config or FindConfig()
        if look is not None:
            segmenter.check(look, bundle)
        self.look = look or segmenter.study(bundle)
        self._registrar = Registrar(bundle, networks, config=self._config.quick, device=device, options=options)
        self._mesh = MeshBuffers.from_mesh(bundle.mesh_lod, device)
        self._judge = PoseJudge(
            self._mesh, diameter_m=bundle.diameter_m, batch=8, config=JudgeConfig(size_px=80, colour_weight=0.0)
        )

    def search(self, frame: Frame, buffers: FrameBuffers, *, last: Float64 | None = None) -> Search:
        """Exhaust `chunks`."""
        work = self.chunks(frame, buffers, last=last)
        while True:
            try:
                next(work)
            except StopIteration as done:
                result: Search = done.value
                return result

    def chunks(
        self, frame: Frame, buffers: FrameBuffers, *, last: Float64 | None = None
    ) -> Generator[str, None, Search]:
        """Work in bounded chunks; yields the kind of work a chunk did, returns what the search came to.

        Args:
            frame: The image.
            buffers: The same, uploaded; must stay as it is until the generator ends.
            last: Pose at which the object was seen last [m] ``(4, 4)``, or None.
        """
        config = self._config
        look = self._segmenter.look(frame)
        yield "look"
        segmentation = self._segmenter.find(look, self.look)
        yield "segment"
        best: Finding | None = None
        best_verdict, best_value = 0.0, -np.inf
        for candidate in segmentation.candidates:
            try:
                registration = yield from self._registrar.chunks(buffers, candidate.mask)
            except (MaskError, UnitError):
                continue  # four pixels, or a speck: not worth a message, there may be others
            T = registration.T_cam_centre
            verdict = self.verdict(buffers, T)
            yield "judge"
            value = verdict
            if last is not None and np.linalg.norm(T[:3, 3] - last[:3, 3]) < 0.5 * self._bundle.diameter_m:
                value += config.same_place_bonus
            if value > best_value:
                best_value, best_verdict = value, verdict
                if verdict >= config.min_verdict:
                    mask = visible_silhouette(self._mesh, T, frame, self._judge.tau_m)
                    best = Finding(mask=mask, candidate=candidate, T_cam_centre=T, verdict=verdict)
            if verdict >= config.sure_verdict and last is None:
                break
        return Search(found=best, verdict=best_verdict, segmentation=segmentation)

    def verdict(self, buffers: FrameBuffers, T_cam_centre: Float64) -> float:
        """How well the model at a pose agrees with the image, 0..1: depth and outline, lowered by wrong colours."""
        judged = self._judge.judge(buffers, T_cam_centre[None], mask=None)
        if judged.occluded[0] > 1.0 - self._config.min_seen:
            return 0.0
        # Colour can only speak against a pose: a plain object has no pattern that could agree.
        return float(np.clip(judged.visible[0] + 0.3 * min(float(judged.colour[0]) - 0.2, 0.0), 0.0, 1.0))


def visible_silhouette(mesh: MeshBuffers, T_cam_centre: Float64, frame: Frame, gate_m: float) -> NDArray[np.bool_]:
    """Pixels of the model at a pose that nothing in front hides, ``(H, W)``.

    Args:
        mesh: The model.
        T_cam_centre: Its pose [m] ``(4, 4)``.
        frame: The image.
        gate_m: Readings nearer than the model by more than this hide it.
    """
    picture = render(mesh, T_cam_centre, frame.K, frame.size_px)
    z = frame.depth_m
    hidden = (z > 0.0) & (z < picture.depth[0] - np.float32(gate_m))
    return np.asarray((picture.mask[0] > 0) & ~hidden)
