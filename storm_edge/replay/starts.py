"""How the objects of a recording begin: each with the first mask or label of its own that can be used.

An object may enter later than others; while its mask is a sliver at the image's edge, a later one is waited for
(`entry`). Until it has begun it is searched for by nobody and reported as SEARCHING, and keeps nobody waiting. A mask
that marks nothing, or nothing with depth, is no reason to end: the object is hidden, or the image is bad, and a later
mask may do.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.choices import Init
from storm_edge.errors import FrameError, MaskError, SceneError, StormEdgeError, mismatch
from storm_edge.frame import Frame
from storm_edge.live.config import StormConfig
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.track_report import Track
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.replay.entry import EntryCheck
from storm_edge.replay.labels import LabelledObject

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class _Start:
    """How one object begins."""

    item: ObjectSession
    labels: LabelledObject
    init: Init
    entry: EntryCheck
    """Whether enough of it is seen."""
    wait_frames: int
    """How long a later mask is waited for."""
    waited: int = 0
    """Frames whose mask was not enough."""
    has_begun: bool = False
    error: StormEdgeError | None = None
    """Why the first mask that it had could not be used."""

    def index(self, frame_id: int) -> int | None:
        """Place of the label that it could begin with in an image."""
        if self.init is Init.MASK:
            return self.labels.masked_index(frame_id)
        return self.labels.labelled_index(frame_id)

    def track(self, frame: Frame, buffers: FrameBuffers) -> Track | None:
        """Its track until it has begun; None from then on."""
        if self.has_begun:
            return None
        index = self._free_index(frame)
        track = None if index is None else self._begin(frame, buffers, index)
        self.has_begun = track is not None
        return track or self.item.wait(frame)

    def _free_index(self, frame: Frame) -> int | None:
        """The same; where another instance of the model is at that label, the first of its number that is free."""
        own, scene = self.index(frame.index), self.labels.scene
        if own is None or not scene.is_labelled(frame.index):
            return own
        T_obj_centre = self.item.bundle.T_obj_centre
        poses = {i: scene.ground_truth(frame.index)[i].T_cam_obj for i in self.labels.indices(frame.index)}
        free = [i for i, T_cam_obj in poses.items() if not self.item.is_taken(frame, T_cam_obj @ T_obj_centre)]
        if self.init is Init.MASK:
            free = [i for i in free if scene.has_mask(frame.index, i)]
        return own if own in free else next(iter(free), None)

    def _begin(self, frame: Frame, buffers: FrameBuffers, index: int) -> Track | None:
        scene = self.labels.scene
        try:
            if self.init is Init.MASK:
                mask = scene.mask_visib(frame.index, index)
                if self._waits(frame, mask):
                    return None
                return self.item.register(frame, buffers, mask)
            if scene.visible_share(frame.index, index) == 0.0:
                return None  # BOP labels what is out of sight, too
            return self.item.start(frame, buffers, scene.ground_truth(frame.index)[index].T_cam_obj)
        except (MaskError, FrameError, SceneError) as error:
            if self.error is None:
                self.error = error
                _log.info("%s cannot begin at frame %d: %s", self.labels.name, frame.index, error)
            return None

    def _waits(self, frame: Frame, mask: NDArray[np.bool_]) -> bool:
        """Whether a later mask will show more than this one at the image's edge."""
        if self.waited >= self.wait_frames or self.entry.is_enough(frame, mask):
            return False
        frame_ids = self.labels.scene.frame_ids
        after = bisect_right(frame_ids, frame.index)
        if all(self.index(later) is None for later in frame_ids[after : after + self.wait_frames - self.waited]):
            return False
        self.waited += 1
        return True


class Starts:
    """How all objects of a run begin; `__call__` is what a session's ``initialize`` asks.

    Args:
        items: The objects of the session.
        labels: Their labels, in their order.
        init: Masks or labels.
        config: How much of an object is enough to begin with it.

    Raises:
        SceneError: No image has what an object needs.
    """

    def __init__(
        self, items: Sequence[ObjectSession], labels: Sequence[LabelledObject], init: Init, config: StormConfig
    ) -> None:
        self._starts = [
            _Start(
                item=item,
                labels=own,
                init=init,
                entry=EntryCheck(item.bundle.mesh_lod, config),
                wait_frames=config.session.entry_wait_frames,
            )
            for item, own in zip(items, labels, strict=True)
        ]
        for start in self._starts:
            if all(start.index(frame_id) is None for frame_id in start.labels.scene.frame_ids):
                raise SceneError(_nothing_to_begin_with(start.labels, init))

    def __call__(self, item: ObjectSession, frame: Frame, buffers: FrameBuffers) -> Track | None:
        """The track of an object that has not begun; None of the others."""
        start = next((start for start in self._starts if start.item is item), None)
        return None if start is None else start.track(frame, buffers)

    def check_begun(self) -> None:
        """After the last frame: say which objects never began.

        Raises:
            StormEdgeError: None did, and a mask that could not be used, or bad frames, are the cause.
        """
        idle = [start for start in self._starts if not start.has_begun]
        errors = [start.error for start in idle if start.error is not None]
        if errors and len(idle) == len(self._starts):
            raise errors[0]
        for start in idle:
            why = start.error or "no frame that was used has its mask or label"
            _log.warning("%s never began: %s", start.labels.name, why)


def _nothing_to_begin_with(labels: LabelledObject, init: Init) -> str:
    scene, which = labels.scene, "" if labels.place == 0 else f" of instance {labels.place + 1}"
    if init is Init.MASK:
        got, expected = f"no mask of {labels.name}{which}", "a mask for at least one image"
        remedy = "use --init auto, which needs none, or provide a mask"
        return mismatch(scene.path / "mask_visib", got, expected, remedy)
    remedy = "use --init auto, which needs none, or --labels for another file name"
    got = f"no frame with a pose label of {labels.name}{which}"
    return mismatch(scene.path, got, "scene_gt.json", remedy)
