"""Are predictions of the scene that they are judged against? By the images they name, and by what their run says."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from storm_edge.bop.scene import BopScene
from storm_edge.errors import InputError, mismatch
from storm_edge.parsing import parse_json

_SUMMARY = "summary.json"


def check_frames(predicted: Collection[int], scene: BopScene) -> None:
    """Refuse predictions for images that the scene does not have.

    Raises:
        InputError: Names the first of them.
    """
    unknown = sorted(set(predicted) - set(scene.frame_ids))
    if unknown:
        got = f"{len(unknown)} images that {scene.path} does not have, the first is {unknown[0]}"
        expected = f"images of {scene.frame_ids[0]} to {scene.frame_ids[-1]}"
        raise InputError(mismatch("predictions", got, expected, "name the scene that they are of"))


def check_run(folder: Path, scene: BopScene) -> None:
    """Refuse the result folder of a run over a scene of another name; a file, or a folder that names none, passes.

    Raises:
        InputError: The names differ.
    """
    try:
        named = parse_json((folder / _SUMMARY).read_text(encoding="utf-8")).get("scene")
    except (OSError, ValueError, AttributeError):  # no run of ours, or an older one: nothing is said
        return
    if isinstance(named, str) and named not in ("", scene.path.name, scene.path.resolve().name):
        remedy = "name the scene that was run, or give the file of poses if it was only renamed"
        raise InputError(mismatch(folder, f"results of scene '{named}'", f"results of '{scene.path.name}'", remedy))
