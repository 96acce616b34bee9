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
from storm_edge.live.factory import make_object_sessions
from storm_edge.objects.onboard import onboard


def main(scene: Path, models: list[Path]) -> None:
    """Print a line per frame with the state of every object."""
    first, *others = [onboard(model, "mm") for model in models]
    networks = NetworkBundle.load("nano")
    recording = BopScene(scene)
    session = open_session([first], networks)
    for frame_id in recording.frame_ids:
        if others:
            # Objects that are tracked in one step must be told of the session's group; None where each is by itself.
            session.add(*make_object_sessions([others.pop(0)], networks, group=session.group))
        elif frame_id == recording.frame_ids[-1] and len(session.objects) > 1:
            session.remove(first.object_id)
        tracks = session.step(recording.frame(frame_id)).tracks
        print(frame_id, *(f"{track.object_id}: {track.state.value}" for track in tracks))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(model) for model in sys.argv[2:]])
