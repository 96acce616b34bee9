"""Detections of the BOP challenge: masks in run lengths, and whatever else a file may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from storm_edge.bop.detections import read_detections
from storm_edge.errors import InputError


def runs(mask: NDArray[np.bool_]) -> list[int]:
    """Column by column, zeros first."""
    lengths, value = [0], False
    for pixel in mask.T.reshape(-1).tolist():
        if pixel != value:
            lengths.append(0)
            value = pixel
        lengths[-1] += 1
    return lengths


def packed(lengths: list[int]) -> str:
    """COCO's string, by its definition."""
    text = ""
    for i, length in enumerate(lengths):
        x, more = length - (lengths[i - 2] if i > 2 else 0), True
        while more:
            bits = x & 0x1F
            x >>= 5
            more = x != -1 if bits & 0x10 else x != 0
            text += chr((bits | 0x20 if more else bits) + 48)
    return text


def entry(**more: Any) -> dict[str, Any]:
    return {"scene_id": 1, "image_id": 2, "category_id": 3, "bbox": [0, 0, 1, 1], "score": 0.5, "time": 0.1, **more}


@pytest.mark.parametrize("is_packed", [False, True])
def test_masks_are_decoded(tmp_path: Path, is_packed: bool) -> None:
    rng = np.random.default_rng(3)
    masks = [rng.uniform(size=(37, 53)) < share for share in (0.0, 0.02, 0.5, 1.0)]
    masks[1][:, 20:40] = True  # long runs
    content = [
        entry(segmentation={"counts": packed(runs(m)) if is_packed else runs(m), "size": [37, 53]}) for m in masks
    ]
    (tmp_path / "d.json").write_text(json.dumps(content))
    found = read_detections(tmp_path / "d.json")
    assert [(d.scene_id, d.image_id, d.object_id, d.score, d.time_s) for d in found] == [(1, 2, 3, 0.5, 0.1)] * 4
    for detection, mask in zip(found, masks, strict=True):
        np.testing.assert_array_equal(detection.mask(), mask)


@pytest.mark.parametrize("content", ["", "{}", "[3]", "[{}]", '[{"scene_id": "a"}]'])
def test_anything_else_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "d.json").write_text(content)
    with pytest.raises(InputError) as error:
        read_detections(tmp_path / "d.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "segmentation",
    [None, {}, {"counts": [3], "size": [2, 2]}, {"counts": [-1, 5], "size": [2, 2]}, {"counts": "~", "size": [2, 2]}],
)
def test_runs_that_are_no_mask_are_one_line(tmp_path: Path, segmentation: Any) -> None:
    (tmp_path / "d.json").write_text(json.dumps([entry(segmentation=segmentation)]))
    [found] = read_detections(tmp_path / "d.json")
    with pytest.raises(InputError, match="entry 0"):
        found.mask()
