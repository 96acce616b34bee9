"""The first pose from a mask of your own segmenter; the session does the rest.

    python examples/own_segmenter.py SCENE MODEL

The segmenter here takes what is nearer than the median of the scene; yours may be a network or a person with a mouse.
MODEL is in millimetres.
"""

import sys
from pathlib import Path

import numpy as np

from storm_edge.bop.scene import BopScene
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import MaskError
from storm_edge.frame import Frame
from storm_edge.live import open_session
from storm_edge.objects.onboard import onboard


def segment(frame: Frame) -> np.ndarray:
    """A mask ``(H, W)``, true where the object is."""
    depth_m = frame.depth_m
    return (depth_m > 0.0) & (depth_m < 0.9 * np.median(depth_m[depth_m > 0.0]))


def main(scene: Path, model: Path) -> None:
    """Print a line per frame."""
    session = open_session([onboard(model, "mm")], NetworkBundle.load("nano"))

    def initialize(thing, frame, buffers):
        """Give the object its pose where it has none; None leaves it to the session."""
        if thing.state.has_pose:
            return None
        try:
            return thing.register(frame, buffers, segment(frame))
        except MaskError:  # too little to register
            return None

    recording = BopScene(scene)
    for frame_id in recording.frame_ids:
        for track in session.step(recording.frame(frame_id), initialize=initialize).tracks:
            print(frame_id, track.state.value, f"{track.confidence:.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
