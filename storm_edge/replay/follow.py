"""A session over a recorded scene: find each object, or start where its mask or label first appears, and track it.

A recording is read frame by frame, each in its turn; or, with a `Pacer`, played as a camera would: frames come when
they are due, and those that come while another is worked on are passed over.

`follow` yields what is known about every object at every frame; drawing and writing are the caller's
(`track_scene`). What happens to one object is in `live.object_session`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from storm_edge.bop.scene import BopScene
from storm_edge.choices import Init
from storm_edge.errors import ConfigError, SceneError, mismatch
from storm_edge.frame import Frame
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.session import Session
from storm_edge.live.track_report import Track
from storm_edge.live.watchdog import Watchdog
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.replay.pacing import Due, Pacer


def label_indices(scene: BopScene, bundles: Sequence[ObjectBundle]) -> list[int]:
    """Place of each object in the scene's label and mask lists.

    With labels the objects' BOP ids decide; one object in a scene of one label needs none. Without labels the order
    of the objects is the order of the masks.

    Raises:
        SceneError: An object is not among the labels.
    """
    if not scene.has_ground_truth:
        return list(range(len(bundles)))
    ids: list[int] = []
    for frame_id in scene.frame_ids:
        ids = [label.object_id for label in scene.ground_truth(frame_id)]
        if ids:
            break
    if len(ids) == 1 and len(bundles) == 1:
        return [0]
    indices = []
    for bundle in bundles:
        if bundle.bop_id not in ids:
            remedy = "name the object bundle obj_NNNNNN after its BOP id"
            raise SceneError(mismatch(scene.path, f"labels of objects {ids}", f"one of {bundle.object_id}", remedy))
        indices.append(ids.index(bundle.bop_id))
    return indices


def follow(
    scene: BopScene,
    objects: Sequence[ObjectSession] | Session,
    *,
    init: Init,
    device: str = "cpu",
    pacer: Pacer | None = None,
    watchdog: Watchdog | None = None,
) -> Iterator[tuple[Frame, list[Track]]]:
    """Run a session over a recording: yields each frame with one `Track` per object, in the order of ``objects``.

    Args:
        scene: The recording.
        objects: The session; or the objects to make one of, without a background lane.
        init: Where first poses come from.
        device: Warp device name, where no session is given.
        pacer: When frames come; None reads them one after the other.
        watchdog: Is told when a frame is read.

    Raises:
        ConfigError: ``init`` is auto and an object cannot be searched for.
        SceneError: No frame has what ``init`` needs, or a frame is unreadable.
        InputError: The mask, or the object's size, cannot be right.
        RunFault: A lane failed for good.
    """
    session = objects if isinstance(objects, Session) else Session(objects, device=device)
    if init is Init.AUTO:
        _require_searches(session.objects)
        starts = []
    else:
        indices = label_indices(scene, [item.bundle for item in session.objects])
        starts = [
            _Start(scene=scene, item=item, index=index, frame_id=_first_frame(scene, index, init), init=init)
            for item, index in zip(session.objects, indices, strict=True)
        ]

    def initialize(item: ObjectSession, frame: Frame, buffers: FrameBuffers) -> Track | None:
        start = next((start for start in starts if start.item is item), None)
        return None if start is None else start.track(frame, buffers)

    for frame_id, due in _due_frames(scene, pacer):
        with nullcontext() if watchdog is None else watchdog.watching("read"):
            frame = scene.frame(frame_id)
        next_due_s = None
        if due is not None and pacer is not None and pacer.rate_hz is not None:
            frame = replace(frame, stamp_ns=due.stamp_ns)
            next_due_s = time.monotonic() + due.stamp_s + 1.0 / pacer.rate_hz - pacer.now_s()
        result = session.step(frame, initialize=initialize, next_due_s=next_due_s)
        if not result.is_skipped:
            yield frame, result.tracks


def _due_frames(scene: BopScene, pacer: Pacer | None) -> Iterator[tuple[int, Due | None]]:
    """Image ids in the order in which they are to be tracked."""
    if pacer is None:
        yield from ((frame_id, None) for frame_id in scene.frame_ids)
        return
    while (due := pacer.next()).number < len(scene):
        yield scene.frame_ids[due.number], due


@dataclass(kw_only=True)
class _Start:
    """How one object begins with a mask or a label."""

    scene: BopScene
    item: ObjectSession
    index: int
    frame_id: int
    init: Init
    begun: bool = False

    def track(self, frame: Frame, buffers: FrameBuffers) -> Track | None:
        """Its track until it has begun; None from then on."""
        if self.begun:
            return None
        if frame.index >= self.frame_id:  # later, if that frame was passed over
            if self.init is Init.MASK and self.scene.has_mask(frame.index, self.index):
                self.begun = True
                return self.item.register(frame, buffers, self.scene.mask_visib(frame.index, self.index))
            labels = self.scene.ground_truth(frame.index) if self.init is Init.GT else []
            if len(labels) > self.index:
                self.begun = True
                return self.item.start(frame, buffers, labels[self.index].T_cam_obj)
        return self.item.wait(frame)


def _require_searches(objects: Sequence[ObjectSession]) -> None:
    for item in objects:
        if not item.can_search:
            remedy = "use a bundle with som_reference, som_query and som_head, or --init mask or gt"
            raise ConfigError(
                mismatch("init auto", f"no detector for {item.bundle.object_id}", "a segmenter", remedy)
            )


def _first_frame(scene: BopScene, label_index: int, init: Init) -> int:
    """The first frame that can start an object."""
    if init is Init.MASK:
        return scene.first_masked_frame(label_index)
    for frame_id in scene.frame_ids:
        if scene.has_ground_truth and len(scene.ground_truth(frame_id)) > label_index:
            return frame_id
    remedy = "use --init auto, which needs none, or --labels for another file name"
    raise SceneError(mismatch(scene.path, "no frame with a pose label", "scene_gt.json", remedy))
