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
from dataclasses import replace

from storm_edge.bop.scene import BopScene
from storm_edge.choices import Init
from storm_edge.errors import ConfigError, mismatch
from storm_edge.frame import Frame
from storm_edge.live.frame_gate import SkipReason
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.session import Session
from storm_edge.live.track_report import Track
from storm_edge.live.watchdog import Watchdog
from storm_edge.replay.frame_reader import FrameReader
from storm_edge.replay.labels import labelled_objects
from storm_edge.replay.pacing import Due, Pacer
from storm_edge.replay.scene import Scene
from storm_edge.replay.starts import Starts


def follow(
    scene: Scene,
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

    Frames that cannot be used are passed over, see `frame_reader`; how objects begin is in `starts`.

    Raises:
        ConfigError: ``init`` is auto and an object cannot be searched for; or it is not, and the recording is of a
            kind that has no labels.
        SceneError: No frame has what ``init`` needs, or none can be used.
        InputError: No mask, or the object's size, can be right.
        RunFault: A lane failed for good.
    """
    session = objects if isinstance(objects, Session) else Session(objects, device=device)
    starts = None
    if init is Init.AUTO:
        _require_searches(session.objects)
    else:
        labels = labelled_objects(_labelled(scene, init), [item.bundle for item in session.objects])
        starts = Starts(session.objects, labels, init, session.config)
    reader = FrameReader(scene, session.config.frame_gate)
    for frame_id, due in _due_frames(scene, pacer):
        with nullcontext() if watchdog is None else watchdog.watching("read"):
            frame = reader.read(frame_id)
        if isinstance(frame, SkipReason):
            session.skip(frame_id, frame)
            continue
        next_due_s = None
        if due is not None and pacer is not None and pacer.rate_hz is not None:
            frame = replace(frame, stamp_ns=due.stamp_ns)
            next_due_s = time.monotonic() + due.stamp_s + 1.0 / pacer.rate_hz - pacer.now_s()
        result = session.step(frame, initialize=starts, next_due_s=next_due_s)
        if not result.is_skipped:
            yield frame, result.tracks
    session.conclude()
    reader.check_used()
    if starts is not None:
        starts.check_begun()


def _due_frames(scene: Scene, pacer: Pacer | None) -> Iterator[tuple[int, Due | None]]:
    """Image ids in the order in which they are to be tracked."""
    if pacer is None:
        yield from ((frame_id, None) for frame_id in scene.frame_ids)
        return
    while (due := pacer.next()).number < len(scene):
        yield scene.frame_ids[due.number], due


def _labelled(scene: Scene, init: Init) -> BopScene:
    if not isinstance(scene, BopScene):
        got = f"{init.value} with {scene.path.name}, which has no labels"
        raise ConfigError(mismatch("--init", got, "auto", "leave --init out: the objects are found by their models"))
    return scene


def _require_searches(objects: Sequence[ObjectSession]) -> None:
    for item in objects:
        if item.detector is None:
            remedy = "use a bundle with som_reference, som_query and som_head, or --init mask or gt"
            raise ConfigError(
                mismatch("init auto", f"no detector for {item.bundle.object_id}", "a segmenter", remedy)
            )
