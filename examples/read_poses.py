"""Read the poses that ``storm-edge track`` left, with nothing but NumPy.

    python examples/read_poses.py OUT/poses.jsonl

Prints how long the object was tracked, and how far it moved. Metres; OpenCV axes.
"""

import json
import sys
from pathlib import Path

import numpy as np


def main(path: Path) -> None:
    """Print a summary per object."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for name in sorted({row["object"] for row in rows}):
        mine = [row for row in rows if row["object"] == name]
        tracked = [row for row in mine if row["state"] == "TRACKING"]
        places_m = np.array([row["T_cam_obj"] for row in tracked]).reshape(-1, 4, 4)[:, :3, 3]
        moved_m = np.linalg.norm(np.diff(places_m, axis=0), axis=1).sum()
        print(f"{name}: TRACKING in {len(tracked)} of {len(mine)} frames, moved {moved_m:.3f} m")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
