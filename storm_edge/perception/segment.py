"""Segment: where in the image is the object, told by its 3D model alone.

`Segmenter.look` brings a frame to the working size once for all objects; `Segmenter.find` asks for one object and
returns candidates, best first, or none: "not found" is an answer. What a candidate is worth is decided by whoever can
register it (`perception.find`); the score here only says in which order to try.

The map of probabilities comes from the nano segmenter, or, with `Source.COLOUR`, from colours and depth alone.
A map becomes candidates by 3D: a ball of the object's size is put where most of the probability is, what lies in it
is one candidate, and so on with the rest. That splits touching look-alikes and joins what an occluder cuts in two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.onnx_runtime import OrtOptions
from storm_edge.engines.spec import Engine
from storm_edge.errors import EngineError, ObjectBundleError, OutputError, bad
from storm_edge.frames import Frame
from storm_edge.kernels import segment_inputs as inputs
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.objects.bundle import ObjectBundle

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_COLOUR_ONLY = "colours only"  # stands where the fingerprint of a network would


class Source(str, Enum):
    """Where the map of probabilities comes from."""

    NETWORK = "network"
    """The bundle's segmenter."""
    COLOUR = "colour"
    """Colour statistics of the model, apparent size and relief; needs no network."""


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """How candidates are made."""

    source: Source = Source.NETWORK
    """Where the map comes from."""
    mask_above: float = 0.5
    """Probability from which a pixel belongs to a candidate."""
    candidates: int = 4
    """Most candidates that are returned."""
    min_score: float = 0.02
    """Candidates with a lower score are dropped; without any the object is not found."""
    ball: float = 0.55
    """Radius of the ball that a candidate must fit in, in diameters."""
    relief: float = 0.06
    """Distance from the planes from which a place stands out, in diameters."""
    usual_fill: float = 0.12
    """Share of its apparent square from which an object's mask counts as large enough."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A place where the object may be."""

    mask: NDArray[np.bool_]
    """Its pixels ``(H, W)``."""
    grown: NDArray[np.bool_]
    """The same with all that stands out from the planes around it, whatever its colour: parts that the mask lacks,
    but also what touches the object ``(H, W)``."""
    score: float
    """How much speaks for it, 0..1."""
    box: tuple[int, int, int, int]
    """First and last column and row plus one, ``(x0, y0, x1, y1)`` [px]."""


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """What is known about one object in one image."""

    candidates: tuple[Candidate, ...]
    """Best first; empty when it was not found."""
    probability: Float32
    """The map they were made from, ``(60, 80)``."""
    present: float
    """What the network thinks of the object being there at all, 0..1; the best score without a network."""

    @property
    def best(self) -> Candidate | None:
        """The best candidate, None if the object was not found."""
        return self.candidates[0] if self.candidates else None


@dataclass(frozen=True, kw_only=True)
class ObjectLook:
    """What the segmenter keeps of an object: made once, some 100 ms, or loaded."""

    diameter_m: float
    """The object's diameter."""
    colours: inputs.ColourModel
    """Its colours."""
    keys: Float32
    """For the head, ``(1, blocks, L, dim)``; empty without a network."""
    values: Float32
    """Likewise."""
    network: str
    """Fingerprint of the network that made keys and values."""
    model: str
    """Fingerprint of the model file."""

    def save(self, path: Path) -> None:
        """Write it beside the object bundle, as ``.npz``.

        Raises:
            OutputError: The file cannot be written.
        """
        try:
            with path.open("wb") as file:
                np.savez(
                    file,
                    diameter_m=self.diameter_m,
                    rgb=self.colours.rgb,
                    chroma=self.colours.chroma,
                    keys=self.keys,
                    values=self.values,
                    network=self.network,
                    model=self.model,
                )
        except OSError as error:
            raise OutputError(bad(path, error.strerror, "a file that can be written", "choose another")) from error

    @staticmethod
    def load(path: Path) -> ObjectLook:
        """Read what `save` wrote; whether it fits the network is checked by `Segmenter.check`.

        Raises:
            ObjectBundleError: It is missing or something else.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return ObjectLook(
                    diameter_m=float(arrays["diameter_m"]),
                    colours=inputs.ColourModel(rgb=arrays["rgb"], chroma=arrays["chroma"]),
                    keys=arrays["keys"],
                    values=arrays["values"],
                    network=str(arrays["network"]),
                    model=str(arrays["model"]),
                )
        except (OSError, KeyError, ValueError) as error:
            got = str(error).splitlines()[0]
            raise ObjectBundleError(bad(path, got, "a saved look of an object", "make it again")) from error


@dataclass(frozen=True, kw_only=True)
class FrameLook:
    """A frame at the working size, and what the network makes of it whatever is looked for."""

    frame: Frame
    """The frame itself."""
    small: inputs.SmallFrame
    """At the working size."""
    maps: dict[str, Float32]
    """Feature maps by name, for the head; empty without a network."""


class Segmenter:
    """Finds any number of objects in images.

    Args:
        networks: Bundle with ``som_reference``, ``som_query`` and ``som_head``; may be None with `Source.COLOUR`.
        config: How candidates are made.
        device: Warp device name, for rendering the views of objects.
        options: Where and how the engines run.

    Raises:
        EngineError: A network is asked for and the bundle has none.
    """

    def __init__(
        self,
        networks: NetworkBundle | None,
        *,
        config: SegmentConfig | None = None,
        device: str = "cpu",
        options: OrtOptions | None = None,
    ) -> None:
        self.config = config or SegmentConfig()
        self._device = device
        self._reference: Engine | None = None
        self._query: Engine | None = None
        self._head: Engine | None = None
        self._last: FrameLook | None = None
        if self.config.source is Source.NETWORK:
            if networks is None:
                remedy = "give --bundle, or find the object by its colours alone (--colour)"
                raise EngineError(bad("segmentation", "no network bundle", "one with a segmenter", remedy))
            if not networks.networks.keys() >= {"som_reference", "som_query", "som_head"}:
                remedy = "use a bundle that has them, or find the object by its colours alone (--colour)"
                expected = "som_reference, som_query and som_head"
                raise EngineError(bad(f"bundle {networks.name}", "no segmenter", expected, remedy))
            self._reference = networks.open("som_reference", options)
            self._query = networks.open("som_query", options)
            self._head = networks.open("som_head", options)

    @property
    def fingerprint(self) -> str:
        """Of the network that looks at views; the looks of objects are bound to it."""
        return _COLOUR_ONLY if self._reference is None else self._reference.spec.sha256

    def describe(self) -> dict[str, object]:
        """How it segments, for reports; JSON types."""
        return {"source": self.config.source.value}

    def study(self, bundle: ObjectBundle) -> ObjectLook:
        """Look at an object from 16 sides, once.

        Raises:
            MeshError: Its model shows nothing from any side.
        """
        mesh = MeshBuffers.from_mesh(bundle.mesh_lod, self._device)
        views = inputs.object_views(mesh, bundle.diameter_m)
        keys = values = np.zeros((1, 0, 0, 0), dtype=np.float32)
        if self._reference is not None:
            out = self._reference.run({"views": views.channels[None]})
            keys, values = out["keys"], out["values"]
        return ObjectLook(
            diameter_m=bundle.diameter_m,
            colours=views.colours,
            keys=keys,
            values=values,
            network=self.fingerprint,
            model=bundle.source.sha256,
        )

    def check(self, look: ObjectLook, bundle: ObjectBundle) -> None:
        """Refuse a saved look of another object, or by another network.

        Raises:
            ObjectBundleError: It does not belong here.
        """
        again = "onboard the object again with this network bundle"
        for what, got, expected in (
            ("network", look.network, self.fingerprint),
            ("model", look.model, bundle.source.sha256),
        ):
            if got != expected:
                line = bad(f"look of {bundle.object_id}: {what}", f"{got[:12]}", f"{expected[:12]}", again)
                raise ObjectBundleError(line)

    def look(self, frame: Frame) -> FrameLook:
        """What all objects share of a frame; asked again for the same `Frame`, the answer is at hand."""
        if self._last is None or self._last.frame is not frame:
            small = inputs.small_frame(frame.rgb, frame.depth_m, frame.K)
            maps = {} if self._query is None else self._query.run({"image": small.channels[None]})
            self._last = FrameLook(frame=frame, small=small, maps=maps)
        return self._last

    def find(self, look: FrameLook, wanted: ObjectLook) -> Segmentation:
        """Look for one object.

        Args:
            look: The frame, from `look`.
            wanted: The object, from `study`.
        """
        channels = inputs.object_channels(look.small, wanted.colours, wanted.diameter_m)
        if self._head is None:
            probability, present = colour_probability(channels), None
        else:
            out = self._head.run(
                {**look.maps, "objects": channels[None], "keys": wanted.keys, "values": wanted.values}
            )
            probability, present = _sigmoid(out["mask"][0]), float(_sigmoid(out["present"])[0])
        candidates = self._candidates(look, probability, wanted.diameter_m)
        if present is None:
            present = candidates[0].score if candidates else 0.0
        return Segmentation(candidates=tuple(candidates), probability=probability, present=present)

    def _candidates(self, look: FrameLook, probability: Float32, diameter_m: float) -> list[Candidate]:
        config, small = self.config, look.small
        size = inputs.SIZE_PX[::-1]
        at_work = np.asarray(cv2.resize(probability, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)
        balls = place_balls(at_work, small, diameter_m, config)
        whole = small.letterbox.enlarge(probability, look.frame.size_px)
        relief = small.letterbox.enlarge(small.relief_m, look.frame.size_px)
        stands_out = relief > np.float32(config.relief * diameter_m)
        made = [candidate_in(look.frame, whole, stands_out, centre, diameter_m, config) for centre in balls]
        found = [candidate for candidate in made if candidate is not None]
        found.sort(key=lambda c: -c.score)
        return [c for c in found if c.score >= config.min_score][: config.candidates]


def colour_probability(channels: Float32) -> Float32:
    """A guess without learning, ``(60, 80)``: colours that are the object's rather than the scene's, off the planes.

    Args:
        channels: Object channels ``(5, 60, 80)``.
    """
    bits = cv2.blur(4.0 * channels[1] + 2.0 * channels[2], (3, 3))  # one noisy pixel says little
    flat = np.clip(channels[4] / np.float32(0.08), 0.0, 1.0)  # 0 on a table or wall
    return _sigmoid(1.5 * (bits - 1.0) - 4.0 * (1.0 - flat))


def place_balls(probability: Float32, small: inputs.SmallFrame, diameter_m: float, config: SegmentConfig) -> Float64:
    """Centres [m] of balls of the object's size where the probability is, most first, ``(N, 3)``.

    Args:
        probability: At the working size ``(120, 160)``.
        small: The frame.
        diameter_m: Of the object.
        config: Threshold, ball and count.
    """
    v, u = np.nonzero((probability > config.mask_above) & (small.depth_m > 0.0))
    z = small.depth_m[v, u].astype(np.float64)
    points = np.stack([(u - small.K[0, 2]) / small.K[0, 0] * z, (v - small.K[1, 2]) / small.K[1, 1] * z, z], axis=1)
    # A pixel far away stands for more surface than one nearby.
    mass = probability[v, u] * z * z
    radius_m = config.ball * diameter_m
    centres = []
    for _ in range(2 * config.candidates):
        if len(points) < 4:
            break
        few = points[:: max(1, len(points) // 150)]
        inside = np.linalg.norm(points[None] - few[:, None], axis=2) < radius_m
        centre = few[int((inside @ mass).argmax())]
        for _ in range(4):
            near = np.linalg.norm(points - centre, axis=1) < radius_m
            if not near.any():
                break
            centre = np.average(points[near], axis=0, weights=mass[near])
        gone = np.linalg.norm(points - centre, axis=1) < radius_m
        if not gone.any():
            break
        centres.append(centre)
        points, mass = points[~gone], mass[~gone]
    return np.array(centres).reshape(-1, 3)


def candidate_in(
    frame: Frame,
    probability: Float32,
    stands_out: NDArray[np.bool_],
    centre: Float64,
    diameter_m: float,
    config: SegmentConfig,
) -> Candidate | None:
    """The pixels of one ball at image size; pixels without depth belong to it if they are in its outline."""
    height, width = frame.size_px
    K, radius_m = frame.K, config.ball * diameter_m
    reach = radius_m * np.array([K[0, 0], K[1, 1]]) / max(centre[2] - radius_m, 0.3 * centre[2])
    middle = np.array([K[0, 0] * centre[0] / centre[2] + K[0, 2], K[1, 1] * centre[1] / centre[2] + K[1, 2]])
    x0, y0 = (int(n) for n in np.clip(np.floor(middle - reach), 0, [width - 1, height - 1]))
    x1, y1 = (int(n) for n in np.clip(np.ceil(middle + reach) + 1, 1, [width, height]))
    z = frame.depth_m[y0:y1, x0:x1]
    likely = probability[y0:y1, x0:x1]
    x = (np.arange(x0, x1) - K[0, 2]) / K[0, 0]
    y = ((np.arange(y0, y1) - K[1, 2]) / K[1, 1])[:, None]
    off = (x * z - centre[0]) ** 2 + (y * z - centre[1]) ** 2 + (z - centre[2]) ** 2
    # Without a reading, as if it were as far away as the centre.
    off_unread = ((x * centre[2] - centre[0]) ** 2 + (y * centre[2] - centre[1]) ** 2) * np.ones_like(z)
    inside = np.where(z > 0.0, off, off_unread) < radius_m**2
    window = inside & (likely > config.mask_above)
    area = int(window.sum())
    if area < 4 or not (window & (z > 0.0)).any():
        return None
    apparent_px = diameter_m * K[0, 0] / centre[2]
    score = float(likely[window].mean()) * min(1.0, area / (config.usual_fill * apparent_px**2))
    mask, grown = np.zeros((2, height, width), dtype=bool)
    mask[y0:y1, x0:x1] = window
    grown[y0:y1, x0:x1] = _connected(window, window | (inside & stands_out[y0:y1, x0:x1]))
    rows, columns = np.flatnonzero(window.any(axis=1)), np.flatnonzero(window.any(axis=0))
    box = (x0 + int(columns[0]), y0 + int(rows[0]), x0 + int(columns[-1]) + 1, y0 + int(rows[-1]) + 1)
    return Candidate(mask=mask, grown=grown, score=score, box=box)


def _connected(core: NDArray[np.bool_], region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The parts of ``region`` that touch ``core``."""
    _, labels = cv2.connectedComponents(region.astype(np.uint8))
    kept = np.unique(np.asarray(labels)[core])
    return np.isin(labels, kept[kept > 0])


def _sigmoid(x: Float32) -> Float32:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -30.0, 30.0))), dtype=np.float32)
