"""A live loop: arrays from a camera go in, a track per object comes out.

    python examples/live_loop.py SCENE MODEL

SCENE stands in for a camera here, a BOP scene folder that is played once. MODEL is the object's model in millimetres.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from storm_edge.bop.scene import BopScene
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.live import TrackState, open_session
from storm_edge.live.sources.arrays import ArraySource, CameraImages
from storm_edge.objects.onboard import onboard


def camera(scene: Path) -> Iterator[CameraImages]:
    """A driver: colour comes as BGR, depth in millimetres, and both are converted here."""
    recording = BopScene(scene)
    for frame_id in recording.frame_ids:
        frame = recording.frame(frame_id)
        bgr, depth_mm = frame.rgb[..., ::-1], np.rint(frame.depth_m * 1e3).astype(np.uint16)
        rgb, depth_m = np.ascontiguousarray(bgr[..., ::-1]), depth_mm.astype(np.float32) * 1e-3
        yield CameraImages(rgb=rgb, depth_m=depth_m, K=frame.K, stamp_ns=time.time_ns())


def main(scene: Path, model: Path) -> None:
    """Print a line per frame."""
    thing, networks = onboard(model, "mm"), NetworkBundle.load("nano")
    with open_session([thing], networks, background=True) as session:  # searches run on a second core
        for frame in ArraySource(camera(scene)):
            result = session.step(frame)
            if result.is_skipped:
                print(frame.index, "skipped:", result.skipped_reason)
            for track in result.tracks:
                if track.state is TrackState.TRACKING:
                    print(frame.index, track.object_id, f"{track.confidence:.2f}", track.T_cam_obj[:3, 3])
                else:
                    print(frame.index, track.object_id, track.state.value)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
