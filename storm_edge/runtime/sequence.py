"""The loop over a recorded scene: find each object, or start where its mask or label first appears, and follow it.

`follow` yields what is known about every object at every frame; drawing and writing are the caller's (`scene_run`).
What happens to one object is `object_loop`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum

from storm_edge.data.bop import BopScene
from storm_edge.errors import ConfigError, SceneError, bad
from storm_edge.frames import Frame
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.perception.inputs import FrameBuffers
from storm_edge.runtime.object_loop import ObjectLoop
from storm_edge.runtime.outputs import Track


class Init(str, Enum):
    """Where the first pose comes from."""

    AUTO = "auto"
    """Nowhere: the loop finds the object by its model."""
    MASK = "mask"
    """Registration with the object's mask of the first frame that has one."""
    GT = "gt"
    """The label of the first frame that has one."""


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
            raise SceneError(bad(scene.path, f"labels of objects {ids}", f"one of {bundle.object_id}", remedy))
        indices.append(ids.index(bundle.bop_id))
    return indices


def follow(
    scene: BopScene,
    objects: Sequence[ObjectLoop],
    *,
    init: Init,
    device: str = "cpu",
) -> Iterator[tuple[Frame, list[Track]]]:
    """Run the loop: yields each frame with one `Track` per object, in the order of ``objects``.

    Args:
        scene: The recording.
        objects: What to follow.
        init: Where first poses come from.
        device: Warp device name.

    Raises:
        ConfigError: ``init`` is auto and a loop cannot search.
        SceneError: No frame has what ``init`` needs, or a frame is unreadable.
        InputError: The mask, or the object's size, cannot be right.
    """
    if init is Init.AUTO:
        _require_searches(objects)
        indices = starts = [-1] * len(objects)
    else:
        indices = label_indices(scene, [item.bundle for item in objects])
        starts = [_first_frame(scene, index, init) for index in indices]
    buffers: FrameBuffers | None = None
    for frame_id in scene.frame_ids:
        frame = scene.frame(frame_id)
        if buffers is None or buffers.size_px != frame.size_px:
            buffers = FrameBuffers(*frame.size_px, device)
        began = time.perf_counter()
        buffers.upload(frame)
        upload_ms = (time.perf_counter() - began) * 1e3
        tracks = []
        for item, index, start in zip(objects, indices, starts, strict=True):
            if frame_id < start:
                track = item.wait(frame)
            elif frame_id > start:
                track = item.track(frame, buffers)
            elif init is Init.MASK:
                track = item.register(frame, buffers, scene.mask_visib(frame_id, index))
            else:
                track = item.start(frame, buffers, scene.ground_truth(frame_id)[index].T_cam_obj)
            tracks.append(_with_upload(track, upload_ms))
        yield frame, tracks


def _require_searches(objects: Sequence[ObjectLoop]) -> None:
    for item in objects:
        if not item.searches:
            remedy = "use a bundle with som_reference, som_query and som_head, or start with a mask or a label"
            raise ConfigError(bad("init auto", f"no finder for {item.bundle.object_id}", "a segmenter", remedy))


def _with_upload(track: Track, upload_ms: float) -> Track:
    stages = {"upload": upload_ms, **track.latency_ms}
    return replace(track, latency_ms={**stages, "total": sum(stages.values())})


def _first_frame(scene: BopScene, label_index: int, init: Init) -> int:
    """The first frame that can start an object."""
    if init is Init.MASK:
        return scene.first_masked_frame(label_index)
    for frame_id in scene.frame_ids:
        if scene.has_ground_truth and len(scene.ground_truth(frame_id)) > label_index:
            return frame_id
    remedy = "use --init mask, or give the scene labels (--labels for another file name)"
    raise SceneError(bad(scene.path, "no frame with a pose label", "scene_gt.json", remedy))
