"""Put templates onto a frame and compare: every placement gets a score of its depth, normals and outline.

A template is put where one of its anchors meets a measured point with the same normal; depth is measured, so its size
is known. A few of its points tell which turns are worth comparing wholly at each point, and the best placements are
then shifted to where they fit best.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.geometry.pixels import marked_pixels
from storm_edge.kernels.device import Device
from storm_edge.kernels.launch_cache import launch_rows
from storm_edge.kernels.template_match import MatchRules, MatchScene, MatchTemplates, score_placements
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.templates.colours import colour_worths
from storm_edge.pipeline.templates.config import MatchConfig
from storm_edge.pipeline.templates.matched_image import MatchedImage, direction_bins
from storm_edge.pipeline.templates.views import ShapeTemplates

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

_LEAST_ROWS = 1000  # fixed: some 0.4 ms, of which a thread of the host is worth its hand-over
_STEPS = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Placements:
    """Templates put onto a frame, best first."""

    view: Int64
    """Which template, ``(N,)``."""
    centre: Float32
    """Where the object's centre is in the camera's frame [m], ``(N, 3)``."""
    score: Float32
    """How well its shape fits, at most 1, ``(N,)``."""

    def among(self, index: NDArray[np.generic] | slice) -> Placements:
        """Those of a mask, a slice, or of indices in their order."""
        return Placements(view=self.view[index], centre=self.centre[index], score=self.score[index])

    def by_score(self) -> Placements:
        """The same, best first."""
        return self.among(np.argsort(-self.score, kind="stable"))


@dataclass(frozen=True, kw_only=True)
class Matched:
    """Placements of one object in a frame, best first."""

    by_shape: Placements
    """Of the whole frame by their shape alone."""
    by_colours: Placements
    """Of the whole frame by shape and colours; none where the model has no colours."""
    around: list[Placements]
    """Those around each of the points that were given, by shape and, where the model has any, by colours."""


class TemplateMatcher:
    """Compares the templates of one object with frames; they are uploaded once.

    Args:
        templates: Of the object.
        diameter_m: Its diameter [m].
        device: Where scores are computed.
        config: How they are.
        has_colours: Whether the model says what colour it has.
    """

    def __init__(
        self,
        templates: ShapeTemplates,
        diameter_m: float,
        device: Device,
        config: MatchConfig,
        *,
        has_colours: bool = False,
    ) -> None:
        self._templates, self._diameter_m, self._device, self._config = templates, diameter_m, device, config
        self._has_colours = has_colours
        uploaded = self._uploaded = MatchTemplates()
        for name in ("surface", "normals", "beside", "outline"):
            setattr(uploaded, name, wp.array(getattr(templates, name), dtype=wp.vec3, device=device))
        bins = direction_bins(templates.outwards[..., 0], templates.outwards[..., 1])
        uploaded.directions = wp.array(bins, dtype=wp.uint8, device=device)
        self._rules = MatchRules()
        for name in ("noise_per_m", "normal_weight", "through_penalty", "unread_worth", "beside_weight"):
            setattr(self._rules, name, getattr(config, name))
        for name in ("goes_on_penalty", "plane_worth", "edge_weight", "min_seen_share"):
            setattr(self._rules, name, getattr(config, name))
        self._rules.gate_m = max(config.gate_diameters * diameter_m, config.min_gate_m)

    def match(self, image: MatchedImage) -> Placements:
        """Exhaust `chunks` without a point around which to look."""
        return run_to_completion(self.chunks(image, np.zeros((0, 3)))).by_shape

    def chunks(self, image: MatchedImage, around: Float64) -> Generator[str, None, Matched]:
        """The placements that fit best, in bounded chunks of work.

        Args:
            image: The frame.
            around: Points near which the object's centre may be [m] ``(N, 3)``.
        """
        config = self._config
        points, normals = image.points(self._diameter_m, config)
        point, view, centre = self._placed(points, normals)
        if not len(view):
            none = Placements(view=view, centre=centre, score=np.zeros(0, np.float32))
            return Matched(by_shape=none, by_colours=none, around=[none] * len(around))
        scene = self._scene(image)
        yield "templates"
        coarse = np.empty(len(view), dtype=np.float32)
        for start in range(0, len(view), config.chunk):
            part = slice(start, start + config.chunk)
            coarse[part] = self._scores(
                scene, view[part], centre[part], config.coarse_surface_count, config.coarse_outline_count
            )
            yield "templates"
        kept = _best_of_each(point, coarse, config.turns_per_point, config.coarse_kept)
        view, centre = view[kept], centre[kept]
        placed = Placements(view=view, centre=centre, score=self._whole_scores(scene, view, centre)).by_score()
        yield "templates"
        by_shape = yield from self._best_shifted(scene, placed.among(slice(config.shifted_count)))
        by_colours = placed.among(slice(0))
        if self._has_colours:
            likely = placed.among(slice(config.coloured_count))
            by_colours = yield from self._best_by_colours(image, scene, likely, config.shifted_coloured_count)
        found = []
        for middle in around:
            reach_m = config.around_diameters * self._diameter_m
            near = placed.among(((placed.centre - middle) ** 2).sum(axis=1) < reach_m**2)
            found.append((yield from self._best_by_colours(image, scene, near, config.shifted_around_count)))
        return Matched(by_shape=by_shape.by_score(), by_colours=by_colours, around=found)

    def _best_by_colours(
        self, image: MatchedImage, scene: MatchScene, placed: Placements, count: int
    ) -> Generator[str, None, Placements]:
        """The ``count`` best with their colours, each where its shape fits best."""
        first = yield from self._by_colours(image, placed)
        best = yield from self._best_shifted(scene, first.among(slice(count)))
        return (yield from self._by_colours(image, best))

    def _by_colours(self, image: MatchedImage, placed: Placements) -> Generator[str, None, Placements]:
        """Placements by their scores and what colours add to them, if the model has any."""
        if not self._has_colours:
            return placed.by_score()
        view, centre, config = placed.view, placed.centre, self._config
        worth = yield from colour_worths(self._templates, view, centre, image, self._rules.gate_m, config)
        return placed.among(np.argsort(-(placed.score + worth), kind="stable"))

    def _best_shifted(self, scene: MatchScene, placed: Placements) -> Generator[str, None, Placements]:
        """Each placement where it fits best."""
        centre, score = placed.centre, placed.score
        if not len(score):
            return placed
        for step_m in self._diameter_m * np.array(self._config.shift_diameters, dtype=np.float32):
            centre, score = self._shifted(scene, placed.view, centre, score, step_m)
            yield "templates"
        return Placements(view=placed.view, centre=centre, score=score)

    def _placed(self, points: Float32, normals: Float32) -> tuple[Int64, Int64, Float32]:
        """Points, views ``(M,)`` and centres ``(M, 3)`` for which an anchor's normal is that of the point."""
        templates = self._templates
        count, anchors = templates.anchors.shape
        each = np.arange(count)[:, None]
        anchor_normals = templates.normals[each, templates.anchors].reshape(-1, 3)
        offsets = templates.surface[each, templates.anchors].reshape(-1, 3)
        alike = normals @ anchor_normals.T > np.float32(self._config.min_normal_cosine)
        point, anchor = marked_pixels(alike)
        return point, anchor // max(anchors, 1), points.take(point, axis=0) - offsets.take(anchor, axis=0)

    def _scene(self, image: MatchedImage) -> MatchScene:
        scene, device = MatchScene(), self._device
        scene.depth_m = wp.array(image.depth_m, dtype=wp.float32, device=device)
        scene.normals = wp.array(image.normals, dtype=wp.vec3, device=device)
        scene.on_plane = wp.array(image.on_plane.astype(np.uint8), dtype=wp.uint8, device=device)
        scene.edges = wp.array(image.edges, dtype=wp.uint8, device=device)
        K = image.K
        scene.camera = wp.vec4(K[0, 0], K[1, 1], K[0, 2], K[1, 2])
        return scene

    def _whole_scores(self, scene: MatchScene, view: Int64, centre: Float32) -> Float32:
        templates = self._templates
        return self._scores(scene, view, centre, templates.surface.shape[1], templates.beside.shape[1])

    def _scores(self, scene: MatchScene, view: Int64, centre: Float32, surface: int, outline: int) -> Float32:
        device = self._device
        scores = wp.empty(len(view), dtype=wp.float32, device=device)
        views = wp.array(view.astype(np.int32), dtype=wp.int32, device=device)
        centres = wp.array(np.ascontiguousarray(centre), dtype=wp.vec3, device=device)
        inputs = [scene, self._uploaded, self._rules, views, centres, surface, outline, scores]
        launch_rows(score_placements, len(view), inputs, device=device, least=_LEAST_ROWS)
        return np.array(scores.numpy())

    def _shifted(
        self, scene: MatchScene, view: Int64, centre: Float32, score: Float32, step_m: np.float32
    ) -> tuple[Float32, Float32]:
        """Each placement at the best of its place and six beside it."""
        tried = (centre[:, None] + step_m * _STEPS).reshape(-1, 3)
        scores = self._whole_scores(scene, np.repeat(view, len(_STEPS)), tried).reshape(-1, len(_STEPS))
        best = scores.argmax(axis=1)
        row = np.arange(len(view))
        better = scores[row, best] > score
        moved = np.where(better[:, None], tried.reshape(len(view), -1, 3)[row, best], centre)
        return moved, np.where(better, scores[row, best], score)


def _best_of_each(point: Int64, score: Float32, count: int, most: int) -> Int64:
    """Indices of the placements that are among the ``count`` best at their point, and among the ``most`` best of all.

    ``point`` is sorted.
    """
    usable = np.arange(len(score))
    if len(score) > most:
        usable = np.flatnonzero(score >= np.partition(score, len(score) - most)[len(score) - most])
    # One number to sort by, in half the time of two: points one after the other, and in each the best score first.
    worth = score[usable].astype(np.float64)
    spread = 2.0 * float(np.abs(worth).max(initial=0.0)) + 1.0
    order = usable[np.argsort(point[usable] * spread - worth, kind="stable")]
    sorted_point = point[order]
    begins = np.flatnonzero(np.diff(sorted_point, prepend=-1))
    place = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    return np.asarray(order[place < count])
