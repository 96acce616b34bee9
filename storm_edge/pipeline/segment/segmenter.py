"""Segment: where in the image is the object, told by its 3D model alone.

`Segmenter.encode_image` brings a frame to the working size once for all objects; `Segmenter.segment` asks for one
object and returns candidates, best first, or none: "not found" is an answer. What a candidate is worth is decided by
whoever can register it (`pipeline.detect.detector`); the score here only says in which order to try.

The map of probabilities comes from the bundle's segmenter, ours or STORM's, or, with `Source.COLOUR`, from colours
and depth alone (`pipeline.segment.maps`). It becomes candidates by 3D: a ball of the object's size is put where most
of the probability is, what lies in it is one candidate, and so on with the rest. That splits touching look-alikes
and joins what an occluder cuts in two. SAM2, if it is there and wanted, sharpens them (`pipeline.segment.sharpen`).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.errors import EngineError, ObjectBundleError, mismatch
from storm_edge.frame import Frame
from storm_edge.kernels import segment_inputs as inputs
from storm_edge.kernels.region import log_odds_of
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.segment.full_som import FullSomConfig
from storm_edge.pipeline.segment.maps import make_maps, sigmoid
from storm_edge.pipeline.segment.sharpen import SharpenConfig, Sharpener
from storm_edge.pipeline.segment.tiling import paste, tiles_of

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_TENSOR = "tensor."  # before the names of tensors in a packed look
_LARGE = 1 << 18
_MOST_ODDS, _SMOOTH_PX = 3.0, 5  # a colour's log odds count no more than this, averaged over a square of this side


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
    mask_threshold: float = 0.5
    """Probability from which a pixel belongs to a candidate."""
    max_candidates: int = 4
    """Most candidates that are returned."""
    min_score: float = 0.02
    """Candidates with a lower score are dropped; without any the object is not found."""
    seed_radius_diameters: float = 0.55
    """Radius of the ball that a candidate must fit in, in diameters."""
    min_plane_distance_diameters: float = 0.06
    """Distance from the planes from which a place stands out, in diameters."""
    expected_fill: float = 0.12
    """Share of its apparent square from which an object's mask counts as large enough."""
    full_som: FullSomConfig = field(default_factory=FullSomConfig)
    """What else STORM's segmenter goes by."""
    sharpen: SharpenConfig | None = None
    """When SAM2's masks take the place of candidates' masks; None leaves SAM2 out."""


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
    sharpened: bool = False
    """Whether the mask is SAM2's."""


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """What is known about one object in one image."""

    candidates: tuple[Candidate, ...]
    """Best first; empty when it was not found."""
    probability: Float32
    """The map they were made from, ``(60, 80)``."""
    score: float
    """What the network thinks of the object being there at all, 0..1; the best score by colours."""
    presence_probability: float | None = None
    """`score` where a network said it, None by colours."""

    @property
    def best(self) -> Candidate | None:
        """The best candidate, None if the object was not found."""
        return self.candidates[0] if self.candidates else None


@dataclass(frozen=True, kw_only=True)
class TemplateEmbedding:
    """What the segmenter keeps of an object: made once, some 100 ms, or loaded."""

    diameter_m: float
    """The object's diameter."""
    colours: inputs.ColourModel
    """Its colours."""
    tensors: dict[str, Float32]
    """Keys and values for the network, and its language context if it takes one; empty without a network."""
    network: str
    """Fingerprint of the network that made keys and values."""
    model: str
    """Fingerprint of the model file."""

    def to_bytes(self) -> bytes:
        """It all as the bytes of an ``.npz``, large tensors in half precision: 12 MiB for STORM's network."""
        stream = io.BytesIO()
        np.savez(
            stream,
            diameter_m=self.diameter_m,
            rgb=self.colours.rgb,
            chroma=self.colours.chroma,
            network=self.network,
            model=self.model,
            **{_TENSOR + name: _halved(tensor) for name, tensor in self.tensors.items()},  # type: ignore[arg-type]
        )
        return stream.getvalue()

    @staticmethod
    def from_bytes(data: bytes, *, what: object) -> TemplateEmbedding:
        """What `to_bytes` made; whether it fits the network is checked by `Segmenter.check`.

        Args:
            data: The bytes.
            what: Where they came from, for messages.

        Raises:
            ObjectBundleError: They are something else.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                arrays = dict(file)
            tensors = {
                n.removeprefix(_TENSOR): a.astype(np.float32) for n, a in arrays.items() if n.startswith(_TENSOR)
            }
            return TemplateEmbedding(
                diameter_m=float(arrays["diameter_m"]),
                colours=inputs.ColourModel(rgb=arrays["rgb"], chroma=arrays["chroma"]),
                tensors=tensors,
                network=str(arrays["network"]),
                model=str(arrays["model"]),
            )
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            got = str(error).splitlines()[0]
            raise ObjectBundleError(mismatch(what, got, "a look of an object", "onboard the object again")) from error


@dataclass(frozen=True, kw_only=True)
class ImageFeatures:
    """A frame at the working size, and what the network makes of it whatever is looked for."""

    frame: Frame
    """The frame itself."""
    small: inputs.SmallFrame
    """At the working size."""
    maps: dict[str, Float32]
    """Features by name, for the network; empty without one."""


@dataclass
class _Tiled:
    """The parts of a frame, each looked at, and where they are."""

    frame: Frame
    parts: list[tuple[ImageFeatures, tuple[slice, slice]]] = field(default_factory=list)


class Segmenter:
    """Finds any number of objects in images.

    Args:
        networks: Bundle with ``som_reference``, ``som_query`` and ``som_head``, and with SAM2 if that is to sharpen;
            may be None with `Source.COLOUR` and without SAM2.
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
        options: EngineOptions | None = None,
    ) -> None:
        self.config = config or SegmentConfig()
        self._device = device
        wanted = networks if self.config.source is Source.NETWORK else None
        if wanted is None and self.config.source is Source.NETWORK:
            remedy = "give --bundle, or find the object by its colours alone (--colour)"
            raise EngineError(mismatch("segmentation", "no network bundle", "one with a segmenter", remedy))
        self._maps = make_maps(wanted, full_som=self.config.full_som, options=options, device=device)
        self._sharpener = _sharpener(networks, self.config.sharpen, options) if self.config.sharpen else None
        self._sharp_frame: Frame | None = None  # that SAM2 has looked at
        self._last: ImageFeatures | None = None
        self._tiled: _Tiled | None = None

    @property
    def fingerprint(self) -> str:
        """Of the network that looks at views; the looks of objects are bound to it."""
        return self._maps.fingerprint

    @property
    def encodes_quickly(self) -> bool:
        """Whether `encode_object` takes a moment only, so that looks of objects need not be stored."""
        return self._maps.encodes_quickly

    @property
    def context_length(self) -> int | None:
        """Length of the language context that `encode_object` takes; None if it takes none."""
        return self._maps.context_length

    @property
    def report(self) -> dict[str, object]:
        """How it segments, for reports; JSON types."""
        return {**self._maps.report, "sam2": self._sharpener is not None}

    def encode_object(self, item: ObjectOnDevice, *, context: Float32 | None = None) -> TemplateEmbedding:
        """Look at an object from 16 sides, once: 0.1 s for our network, up to a minute for STORM's.

        Args:
            item: The object.
            context: What a text encoder makes of its description ``(length,)``, for networks that take one.

        Raises:
            ConfigError: The network takes no context, or another.
            MeshError: The model shows nothing from any side.
        """
        bundle = item.bundle
        views = inputs.object_views(item.mesh_lod, bundle.diameter_m)
        return TemplateEmbedding(
            diameter_m=bundle.diameter_m,
            colours=views.colours,
            tensors=self._maps.encode_object(bundle, views, context),
            network=self.fingerprint,
            model=bundle.source.sha256,
        )

    def check(self, look: TemplateEmbedding, bundle: ObjectBundle) -> None:
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
                line = mismatch(f"look of {bundle.object_id}: {what}", f"{got[:12]}", f"{expected[:12]}", again)
                raise ObjectBundleError(line)

    def encode_image(self, frame: Frame) -> ImageFeatures:
        """What all objects share of a frame; asked again for the same `Frame`, the answer is at hand."""
        last = self._last  # another thread may replace it meanwhile
        if last is None or last.frame is not frame:
            last = self._last = self._look(frame)
        return last

    def segment(
        self, look: ImageFeatures, wanted: TemplateEmbedding, colour_log_odds: Float32 | None = None
    ) -> Segmentation:
        """Look for one object.

        Args:
            look: The frame, from `encode_image`.
            wanted: The object, from `encode_object`.
            colour_log_odds: What tracking learned of its colours in this light, ``(BIN_COUNT,)`` of `kernels.region`;
                they count in candidates, not in the map that is returned.
        """
        frame, small = look.frame, look.small
        found, present = self._map(look, wanted)
        if found.shape == inputs.MASK_PX:
            whole, cells = small.letterbox.enlarge(found, frame.size_px), found
            size = inputs.SIZE_PX[::-1]
            at_work = np.asarray(cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)
        else:
            whole, at_work = found, small.letterbox.shrink(found)
            cells = inputs.halved(at_work)
        if colour_log_odds is not None:
            whole = add_colour_log_odds(whole, frame, colour_log_odds)
            at_work = small.letterbox.shrink(whole)
        candidates = [] if present == 0.0 else self._candidates(look, whole, at_work, wanted.diameter_m)
        opinion = present
        if present is None:
            present = candidates[0].score if candidates else 0.0
        return Segmentation(
            candidates=tuple(candidates), probability=cells, score=present, presence_probability=opinion
        )

    def segment_tiled(
        self,
        look: ImageFeatures,
        wanted: TemplateEmbedding,
        first: Segmentation,
        colour_log_odds: Float32 | None = None,
    ) -> Generator[str, None, Segmentation]:
        """Look again and closer, at parts of the image (`pipeline.segment.tiling`): some 0.2 s, in chunks.

        Where the maps are not coarse, those by colours alone and those of STORM's network, nothing is gained by it
        and the answer is ``first``.

        Args:
            look: The frame, from `encode_image`.
            wanted: The object, from `encode_object`.
            first: What `segment` said of both.
            colour_log_odds: As there.

        Yields:
            The kind of work a chunk did.
        """
        if not self._maps.benefits_from_tiling:
            return first
        closer = self._tiled
        if closer is None or closer.frame is not look.frame:
            closer = _Tiled(frame=look.frame)
            for part in tiles_of(look.frame):
                closer.parts.append((self._look(part.frame), part.window))
                yield "look closer"
            self._tiled = closer
        whole = look.small.letterbox.enlarge(first.probability, look.frame.size_px)
        for part_look, window in closer.parts:
            found, _ = self._map(part_look, wanted)
            paste(whole, part_look.small.letterbox.enlarge(found, part_look.frame.size_px), window)
            yield "segment closer"
        at_work = look.small.letterbox.shrink(whole)
        cells = inputs.halved(at_work)
        if colour_log_odds is not None:
            whole = add_colour_log_odds(whole, look.frame, colour_log_odds)
            at_work = look.small.letterbox.shrink(whole)
        candidates = self._candidates(look, whole, at_work, wanted.diameter_m)
        return replace(first, candidates=tuple(candidates), probability=cells)

    def _look(self, frame: Frame) -> ImageFeatures:
        small = inputs.small_frame(frame.rgb, frame.depth_m, frame.K)
        return ImageFeatures(frame=frame, small=small, maps=self._maps.encode_image(frame, small))

    def _map(self, look: ImageFeatures, wanted: TemplateEmbedding) -> tuple[Float32, float | None]:
        channels = inputs.object_channels(look.small, wanted.colours, wanted.diameter_m)
        return self._maps.probability_map(look.frame, look.small, look.maps, wanted.tensors, channels)

    def _candidates(
        self, look: ImageFeatures, whole: Float32, at_work: Float32, diameter_m: float
    ) -> list[Candidate]:
        config, small = self.config, look.small
        balls = mean_shift_seeds(at_work, small, diameter_m, config)
        relief = small.letterbox.enlarge(small.relief_m, look.frame.size_px)
        stands_out = relief > np.float32(config.min_plane_distance_diameters * diameter_m)
        made = [candidate_at_seed(look.frame, whole, stands_out, centre, diameter_m, config) for centre in balls]
        found = [candidate for candidate in made if candidate is not None]
        found.sort(key=lambda c: -c.score)
        found = [c for c in found if c.score >= config.min_score][: config.max_candidates]
        return [self._sharpened(look.frame, candidate) for candidate in found]

    def _sharpened(self, frame: Frame, candidate: Candidate) -> Candidate:
        """The candidate with SAM2's mask, if there is a SAM2 and both agree."""
        if self._sharpener is None:
            return candidate
        if self._sharp_frame is not frame:
            self._sharpener.encode_image(frame.rgb)
            self._sharp_frame = frame
        sharp = self._sharpener.sharpen(candidate.mask)
        if not sharp.accepted:
            return candidate
        grown = candidate.grown | sharp.mask
        return replace(candidate, mask=sharp.mask, grown=grown, box=_box(sharp.mask), sharpened=True)


def _halved(tensor: Float32) -> NDArray[np.floating]:
    """In half precision if it is large."""
    return tensor.astype(np.float16) if tensor.size > _LARGE else tensor


def _sharpener(networks: NetworkBundle | None, config: SharpenConfig, options: EngineOptions | None) -> Sharpener:
    wanted = ("sam2_encoder", "sam2_decoder")
    if networks is None:
        raise EngineError(
            mismatch("SAM2", "no network bundle", " and ".join(wanted), "give --bundle, or leave --sam2 out")
        )
    remedy = "export SAM2 into the bundle (storm-edge[sam2]), or leave --sam2 out"
    networks.require(wanted, what="SAM2", remedy=remedy)
    encoder, decoder = (networks.open(network, options) for network in wanted)
    return Sharpener(encoder, decoder, config)


def segmentation_from_mask(look: ImageFeatures, mask: NDArray[np.bool_]) -> Segmentation:
    """A mask ``(H, W)`` from elsewhere, which must mark something, as the one candidate in a frame."""
    cells = inputs.halved(look.small.letterbox.shrink(mask.astype(np.float32)))
    only = Candidate(mask=mask, grown=mask, score=1.0, box=_box(mask))
    return Segmentation(candidates=(only,), probability=cells, score=1.0)


def add_colour_log_odds(probability: Float32, frame: Frame, colour_log_odds: Float32) -> Float32:
    """A map ``(H, W)`` as what was likely before, and learned colours as evidence: their log odds add up.

    Args:
        probability: The map.
        frame: The image.
        colour_log_odds: By colour bin, ``(BIN_COUNT,)``.
    """
    odds = np.clip(log_odds_of(frame.rgb, colour_log_odds), -_MOST_ODDS, _MOST_ODDS)
    smooth = cv2.blur(odds, (_SMOOTH_PX, _SMOOTH_PX))  # single pixels say little
    prior = np.clip(probability, np.float32(0.01), np.float32(0.99))
    return sigmoid(np.log(prior / (1.0 - prior)) + np.asarray(smooth, dtype=np.float32))


def mean_shift_seeds(
    probability: Float32, small: inputs.SmallFrame, diameter_m: float, config: SegmentConfig
) -> Float64:
    """Centres [m] of balls of the object's size where the probability is, most first, ``(N, 3)``.

    Args:
        probability: At the working size ``(120, 160)``.
        small: The frame.
        diameter_m: Of the object.
        config: Threshold, ball and count.
    """
    v, u = np.nonzero((probability > config.mask_threshold) & (small.depth_m > 0.0))
    z = small.depth_m[v, u].astype(np.float64)
    points = np.stack([(u - small.K[0, 2]) / small.K[0, 0] * z, (v - small.K[1, 2]) / small.K[1, 1] * z, z], axis=1)
    # A pixel far away stands for more surface than one nearby.
    mass = probability[v, u] * z * z
    radius_m = config.seed_radius_diameters * diameter_m
    centres = []
    for _ in range(2 * config.max_candidates):
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


def candidate_at_seed(
    frame: Frame,
    probability: Float32,
    stands_out: NDArray[np.bool_],
    centre: Float64,
    diameter_m: float,
    config: SegmentConfig,
) -> Candidate | None:
    """The pixels of one ball at image size; pixels without depth belong to it if they are in its outline."""
    height, width = frame.size_px
    K, radius_m = frame.K, config.seed_radius_diameters * diameter_m
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
    window = inside & (likely > config.mask_threshold)
    area = int(window.sum())
    if area < 4 or not (window & (z > 0.0)).any():
        return None
    apparent_px = diameter_m * K[0, 0] / centre[2]
    score = float(likely[window].mean()) * min(1.0, area / float(config.expected_fill * apparent_px**2))
    mask, grown = np.zeros((2, height, width), dtype=bool)
    mask[y0:y1, x0:x1] = window
    grown[y0:y1, x0:x1] = _connected(window, window | (inside & stands_out[y0:y1, x0:x1]))
    return Candidate(mask=mask, grown=grown, score=score, box=_box(mask))


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """First and last column and row plus one of a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _connected(core: NDArray[np.bool_], region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The parts of ``region`` that touch ``core``."""
    _, labels = cv2.connectedComponents(region.astype(np.uint8))
    kept = np.unique(np.asarray(labels)[core])
    return np.isin(labels, kept[kept > 0])
