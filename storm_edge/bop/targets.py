"""Files of targets: which objects are to be found in which images of a dataset, and how often."""

from __future__ import annotations

from pathlib import Path

from storm_edge.errors import InputError, mismatch
from storm_edge.parsing import parse_json

Targets = dict[tuple[int, int, int], int]
"""Instances to be found by scene, image and object number."""


def targets_name(split: str) -> str:
    """Name of the file of a split since 2019."""
    return f"{split}_targets_bop19.json"


def images_of_scene(targets: Targets, scene: str) -> frozenset[int]:
    """Numbers of the images of a scene, by the name of its folder, in which something is to be found."""
    number = int(scene) if scene.isdecimal() else None
    return frozenset(image for scene_id, image, _ in targets if scene_id == number)


def read_targets(path: Path) -> Targets:
    """Read one.

    Raises:
        InputError: It is missing, or holds something else.
    """
    try:
        return {
            (int(entry["scene_id"]), int(entry["im_id"]), int(entry["obj_id"])): int(entry["inst_count"])
            for entry in parse_json(path.read_bytes())
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        got = getattr(error, "strerror", None) or f"{type(error).__name__} {error}"
        expected = "a list of scene_id, im_id, obj_id and inst_count"
        raise InputError(mismatch(path, got, expected, "check --targets")) from error
