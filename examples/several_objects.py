"""Several objects in one session; objects come and go while it runs.

    python examples/several_objects.py SCENE MODEL MODEL...

The session begins with the first model, each further one is added a frame later, and the first is removed at the end.
Models are in millimetres.
"""

import sys
from pathlib import Path

from storm_edge.bop.scene import BopScene
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.live import open_session
from storm_edge.objects.onboard import onboard


def main(scene: Path, models: list[Path]) -> None:
    """Print a line per frame with the state of every object."""
    first, *others = [onboard(model, "mm") for model in models]
    recording = BopScene(scene)
    with open_session([first], NetworkBundle.load("nano")) as session:
        for frame_id in recording.frame_ids:
            if others:
                session.add_object(others.pop(0))
            elif frame_id == recording.frame_ids[-1] and len(session.objects) > 1:
                session.remove(first.object_id)
            tracks = session.step(recording.frame(frame_id)).tracks
            print(frame_id, *(f"{track.object_id}: {track.state.value}" for track in tracks))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(model) for model in sys.argv[2:]])
