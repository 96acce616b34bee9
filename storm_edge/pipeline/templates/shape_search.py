"""Find places by shape: candidates that need neither colours nor a network, each with poses to begin from.

Where a model has colours, they help to rank two of three places in the image, and those around what the segmenter
marks. Every third is ranked by its shape alone: the model's colours may be wrong.

Made once per object, with its templates, and shared by its searches.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.geometry.camera import back_project
from storm_edge.geometry.pixels import marked_pixels
from storm_edge.kernels.renderer import render
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.segment.config import ProposalConfig
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.segment.proposals import candidate_at_seed
from storm_edge.pipeline.segment.segmentation import Candidate
from storm_edge.pipeline.templates.config import PlaceConfig, ShapeSearchConfig
from storm_edge.pipeline.templates.matched_image import matched_image
from storm_edge.pipeline.templates.matching import Placements, TemplateMatcher
from storm_edge.pipeline.templates.places import ShapePlace, in_turns, places_of
from storm_edge.pipeline.templates.views import build_templates

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


class ShapeSearch:
    """Finds places of one object.

    Args:
        item: The object; its device is used.
        config: How.
        proposals: How far what touches a place belongs to it, as for the segmenter's.
    """

    def __init__(self, item: ObjectOnDevice, config: ShapeSearchConfig, proposals: ProposalConfig) -> None:
        self._item, self._config, self._proposals = item, config, proposals
        has_colours = item.bundle.has_colours
        self._match = config.match if has_colours else config.match_without_colours
        self._places_by_shape = config.places if has_colours else config.places_without_colours
        self._templates = build_templates(item.mesh_lod, item.bundle.symmetries, item.diameter_m, config.templates)
        self._matcher = TemplateMatcher(
            self._templates, item.diameter_m, item.device, self._match, has_colours=has_colours
        )

    def candidates(self, image: ImageFeatures) -> list[Candidate]:
        """Exhaust `chunks`, whatever the segmenter marks."""
        _, places = run_to_completion(self.chunks(image))
        return list(places)

    def chunks(
        self, image: ImageFeatures, marked: Sequence[Candidate] = ()
    ) -> Generator[str, None, tuple[list[Candidate], Iterator[Candidate]]]:
        """Places in a frame as candidates with ``starts``, in bounded chunks of work.

        Args:
            image: The frame.
            marked: Candidates of the segmenter.

        Returns:
            The best places where each of ``marked`` is, and those of the whole frame, best first; each of these is
            made when it is asked for, in some milliseconds.
        """
        stands_out = image.stands_out(self._proposals.min_plane_distance_diameters * self._item.diameter_m)
        diameter_m, config = self._item.diameter_m, self._config
        middles = np.array([_middle(image.frame, one.mask) for one in marked]).reshape(-1, 3)
        matched = yield from self._matcher.chunks(matched_image(image, diameter_m, self._match), middles)
        there: list[Candidate] = []
        for mark, placements in zip(marked, matched.around, strict=True):
            made = self._candidates(image.frame, stands_out, self._places(placements, config.places_at_mark))
            there += [replace(candidate, mark=mark) for candidate in made]
            yield "templates"
        by_shape = self._places(matched.by_shape, self._places_by_shape)
        by_colours = self._places(matched.by_colours, config.places_by_colours)
        places = in_turns(by_colours, by_shape, config.places.apart_diameters * diameter_m)
        return there, self._candidates(image.frame, stands_out, places)

    def _places(self, placements: Placements, config: PlaceConfig) -> list[ShapePlace]:
        return places_of(placements, self._templates, self._item.diameter_m, config)

    def _candidates(self, frame: Frame, stands_out: Bool, places: Sequence[ShapePlace]) -> Iterator[Candidate]:
        for place in places:
            candidate = self._candidate(frame, stands_out, place)
            if candidate is not None:
                yield candidate

    def _candidate(self, frame: Frame, stands_out: Bool, place: ShapePlace) -> Candidate | None:
        """What is measured where the model would be at the best pose; None where that is nothing.

        All that stands out around it is the same from whatever side the pose sees the model.
        """
        picture = render(self._item.mesh_lod, place.starts[0], frame.K, frame.size_px)
        model_m, z = picture.cut("depth")[0], frame.depth_m[picture.window]
        match = self._match
        gate_m = max(match.gate_diameters * self._item.diameter_m, match.min_gate_m)
        gate_m = gate_m + np.float32(match.noise_per_m) * model_m * model_m
        agrees = (model_m > 0.0) & ((z == 0.0) | (np.abs(z - model_m) < gate_m))
        if np.count_nonzero(agrees & (z > 0.0)) < self._config.places.min_mask_px:
            return None
        marked = np.zeros(frame.size_px, dtype=np.float32)
        marked[picture.window] = agrees
        made = self._grown(frame, marked, stands_out, place.starts[0, :3, 3])
        if made is None:
            return None
        # Of what stands out there the middle is known better than by a pose that may be turned.
        v, u = marked_pixels(made.grown)
        z = frame.depth_m[v, u]
        v, u, z = v[z > 0.0], u[z > 0.0], z[z > 0.0]
        middle = back_project(frame.K, np.stack([u, v], axis=1), z).mean(axis=0)
        made = self._grown(frame, marked, stands_out, middle) or made
        return replace(made, score=float(np.clip(place.score, 0.0, 1.0)), starts=place.starts)

    def _grown(self, frame: Frame, marked: Float32, stands_out: Bool, middle: Float64) -> Candidate | None:
        """A mask with what stands out and touches it in a sphere of the object's size around a point [m] ``(3,)``."""
        return candidate_at_seed(frame, marked, stands_out, middle, self._item.diameter_m, self._proposals)


def _middle(frame: Frame, mask: Bool) -> Float64:
    """The middle of what a mask shows [m] ``(3,)``: far from all where it has no depth."""
    v, u = marked_pixels(mask & (frame.depth_m > 0.0))
    if not len(v):
        return np.full(3, np.inf)
    return np.asarray(np.median(back_project(frame.K, np.stack([u, v], axis=1), frame.depth_m[v, u]), axis=0))
