"""What `storm-edge bench` plays: a scene's frames in memory, so that no disc is timed, with what is known of each.

A recording is played forwards and backwards in turns: the object never jumps, and a run may be longer than it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.scene import BopScene
from storm_edge.errors import SceneError, mismatch
from storm_edge.frame import Frame
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.replay.labels import labelled_objects
from storm_edge.replay.pacing import ping_pong_index

Float64 = NDArray[np.float64]

MOST_BYTES = 512 * 2**20
"""Frames are loaded up to this; 250 of 640x480."""
CLEARLY_VISIBLE = 0.5
"""Share of the silhouette from which on a frame is one in which the object can be followed."""
_PER_PIXEL = 3 + 4  # colour and depth [bytes]


@dataclass(frozen=True, kw_only=True)
class RecordedFrame:
    """One frame and what the scene says of the object in it."""

    frame: Frame
    """The images."""
    T_cam_obj: Float64 | None
    """Label of the object [m] ``(4, 4)``; None where there is none."""
    mask: NDArray[np.bool_] | None
    """Its visible part, ``(H, W)``; None where there is no mask."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Frames that are played forwards and backwards in turns."""

    name: str
    """Name of the scene."""
    frames: tuple[RecordedFrame, ...]
    """In order."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width [px]."""
        return self.frames[0].frame.size_px

    def at(self, number: int) -> RecordedFrame:
        """What is seen at a frame of a run of any length."""
        return self.frames[ping_pong_index(number, len(self.frames))]


def load_recording(
    scene: BopScene,
    bundle: ObjectBundle,
    *,
    clear: bool,
    masked: bool = False,
    most: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Recording:
    """Read the frames that are to be played.

    Args:
        scene: The scene.
        bundle: The object that is followed in it.
        clear: Only the first run of frames in which at least `CLEARLY_VISIBLE` of the object is seen; where the
            scene does not say how much is seen, all frames count.
        masked: Only frames with a mask.
        most: Frames at most.
        progress: Called with frames done and frames in all.

    Raises:
        SceneError: No frame is left, or one cannot be read.
    """
    (own,) = labelled_objects(scene, [bundle])
    chosen: list[int] = []
    for frame_id in scene.frame_ids:
        index = own.index(frame_id)
        share = scene.visible_share(frame_id, index) if clear and index is not None else None
        if masked and own.masked_index(frame_id) is None:
            continue
        if share is not None and share < CLEARLY_VISIBLE:
            if chosen:
                break
            continue
        chosen.append(frame_id)
    if not chosen:
        got = "no frame with a mask" if masked else "no frame in which half of the object is seen"
        raise SceneError(mismatch(scene.path, got, "at least one", "give a recording of the object"))
    chosen = chosen[:most]
    frames: list[RecordedFrame] = []
    loaded = 0
    for done, frame_id in enumerate(chosen, start=1):
        frame = scene.frame(frame_id)
        loaded += _PER_PIXEL * frame.depth_m.size
        if loaded > MOST_BYTES:
            break
        if frames and frame.size_px != frames[0].frame.size_px:
            got, expected = f"{frame.size_px} at image {frame_id}", f"{frames[0].frame.size_px} [px] in all images"
            raise SceneError(mismatch(scene.path, got, expected, "time one size at a time"))
        labelled, masked_index = own.labelled_index(frame_id), own.masked_index(frame_id)
        frames.append(
            RecordedFrame(
                frame=frame,
                T_cam_obj=None if labelled is None else scene.ground_truth(frame_id)[labelled].T_cam_obj,
                mask=None if masked_index is None else scene.mask_visib(frame_id, masked_index),
            )
        )
        if progress is not None:
            progress(done, len(chosen))
    return Recording(name=scene.path.name, frames=tuple(frames))


def write_demo_recording(path: Path, *, whole: bool) -> None:
    """Render the scene of `storm-edge demo`; unless ``whole``, only up to where a board comes and hides the mug.

    Raises:
        OutputError: The folder exists or cannot be written.
    """
    from dataclasses import replace

    from storm_edge.synthetic.demo import HIDDEN_FRAMES, demo_script
    from storm_edge.synthetic.scene_renderer import write_scene

    script = demo_script()
    # The board is in front of part of the mug for about a dozen frames before it hides all of it.
    write_scene(path, script if whole else replace(script, frame_count=HIDDEN_FRAMES.start - 17))
