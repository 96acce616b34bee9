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
from storm_edge.kernels.segment_inputs import colour_fit
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.perception.inputs import FrameBuffers
from storm_edge.perception.judge import JudgeConfig, PoseJudge
from storm_edge.perception.register import RegisterConfig, Registrar, Stage
from storm_edge.perception.segment import Candidate, FrameLook, ObjectLook, Segmentation, Segmenter

Float32 = NDArray[np.float32]
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
    sure_verdict: float = 1.1
    """Verdict at which no further candidate is tried."""
    same_place_bonus: float = 0.05
    """Added to the verdict of a candidate that lies where the object was seen last."""
    min_seen: float = 0.15
    """Share of the model that must be seen; a verdict on less is worth nothing."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What speaks for the object being at a pose."""

    visible: float
    """Agreeing share of what should be seen (`perception.judge`), 0..1."""
    pattern: float
    """Correlation of rendered and observed colours, -1..1, 0 without contrast."""
    occluded: float
    """Share of the model that something in front hides, 0..1."""
    colour: float
    """How well the colours fit: mean log2 density under the object's colours less what the object itself has [bits];
    about 0 or more for the object, negative for other colours."""
    imbalance: float
    """Log of the largest over the smallest channel gain that would make the model's colours the image's; beyond what
    white balance does, the colours are others."""
    residual: float
    """Root mean square of what the gains leave, of colours in [0, 1]."""


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
    evidence: Evidence
    """What the verdict was made of."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a search came to."""

    found: Finding | None
    """The object, or None: it is not there, or not to be seen well enough."""
    best: Finding | None
    """The best guess even where it is not good enough; None without candidates."""
    verdict: float
    """Its verdict, 0 without candidates."""
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
            seen = Seen.at(self._mesh, T, frame, self._judge.tau_m)
            evidence = self.evidence(look, buffers, T, seen)
            verdict = self.verdict(evidence)
            yield "judge"
            value = verdict
            if last is not None and np.linalg.norm(T[:3, 3] - last[:3, 3]) < 0.5 * self._bundle.diameter_m:
                value += config.same_place_bonus
            if value > best_value:
                best_value, best_verdict = value, verdict
                best = Finding(
                    mask=seen.mask, candidate=candidate, T_cam_centre=T, verdict=verdict, evidence=evidence
                )
            if verdict >= config.sure_verdict and last is None:
                break
        found = best if best_verdict >= config.min_verdict else None
        return Search(found=found, best=best, verdict=best_verdict, segmentation=segmentation)

    def evidence(self, look: FrameLook, buffers: FrameBuffers, T_cam_centre: Float64, seen: Seen) -> Evidence:
        """What speaks for the object being at a pose.

        Args:
            look: The frame at the segmenter's working size.
            buffers: The frame, uploaded.
            T_cam_centre: The pose of the centred mesh [m] ``(4, 4)``.
            seen: The model there.
        """
        judged = self._judge.judge(buffers, T_cam_centre[None], mask=None)
        imbalance, residual = compare_colours(seen.rendered, seen.observed)
        return Evidence(
            visible=float(judged.visible[0]),
            pattern=float(judged.colour[0]),
            occluded=float(judged.occluded[0]),
            colour=colour_fit(look.small, self.look.colours, seen.mask),
            imbalance=imbalance,
            residual=residual,
        )

    def verdict(self, evidence: Evidence) -> float:
        """How sure the object is at a pose, 0..1: depth and outline, lowered by wrong colours."""
        if evidence.occluded > 1.0 - self._config.min_seen:
            return 0.0
        # Colour can only speak against a pose: a plain object has no pattern that could agree.
        wrong_colour = 0.1 * min(evidence.colour + 0.5, 0.0) + 0.3 * min(evidence.pattern - 0.2, 0.0)
        return float(np.clip(evidence.visible + wrong_colour, 0.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The model at a pose, where nothing in front hides it."""

    mask: NDArray[np.bool_]
    """Its visible pixels ``(H, W)``."""
    rendered: Float32
    """Colours of the model where depth agrees, RGB in [0, 1] ``(P, 3)``."""
    observed: Float32
    """Colours of the image there ``(P, 3)``."""

    @staticmethod
    def at(mesh: MeshBuffers, T_cam_centre: Float64, frame: Frame, gate_m: float) -> Seen:
        """Render the model and compare.

        Args:
            mesh: The model.
            T_cam_centre: Its pose [m] ``(4, 4)``.
            frame: The image.
            gate_m: Readings that differ from the model by more than this are something else.
        """
        picture = render(mesh, T_cam_centre, frame.K, frame.size_px)
        z, model = frame.depth_m, picture.depth[0]
        mask = (picture.mask[0] > 0) & ~((z > 0.0) & (z < model - np.float32(gate_m)))
        agrees = mask & ((z == 0.0) | (np.abs(z - model) < gate_m))
        return Seen(
            mask=mask, rendered=picture.colour[0][agrees], observed=frame.rgb[agrees].astype(np.float32) / 255.0
        )


def compare_colours(rendered: Float32, observed: Float32) -> tuple[float, float]:
    """How far from an image's colours a model's are that only light and camera may change.

    Args:
        rendered: RGB in [0, 1] ``(P, 3)``.
        observed: RGB in [0, 1] ``(P, 3)``.

    Returns:
        `Evidence.imbalance` and `Evidence.residual`; 0 and 0 without a pixel.
    """
    if not len(rendered):
        return 0.0, 0.0
    # A black channel says nothing of its gain: a little grey is mixed in.
    grey = 0.02
    gains = ((rendered * observed).mean(axis=0) + grey) / ((rendered**2).mean(axis=0) + grey)
    left = observed - gains * rendered
    return float(np.log(gains.max() / gains.min())), float(np.sqrt((left**2).mean()))
