"""The robot service with frames of your own driver: everything of `storm-edge run` but its source.

    python examples/own_driver.py PROFILE SCENE

PROFILE is a machine profile with `source: {kind: external}`; what it says of objects, sinks and health holds.
SCENE stands in for a driver here, a BOP scene folder whose frames are handed in on a thread.
"""

import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from storm_edge.bop.scene import BopScene
from storm_edge.live.sources.handed_in import HandedIn
from storm_edge.service.build import open_service
from storm_edge.service.profile_sections import read_service_profile


def drive(scene: Path, source: HandedIn) -> None:
    """A driver: hands in a frame when the camera has one, and says when there are no more."""
    for frame in BopScene(scene):
        source.hand_in(replace(frame, stamp_ns=time.time_ns()))
        time.sleep(1 / 30)
    source.end()


def main(profile: Path, scene: Path) -> None:
    """Run until the driver ends, or SIGTERM comes."""
    source = HandedIn(stall_s=1.0)
    service = open_service(read_service_profile(profile), state_folder=Path(), source=source)
    threading.Thread(target=drive, args=(scene, source), daemon=True).start()
    service.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
