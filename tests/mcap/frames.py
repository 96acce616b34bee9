"""Small frames of a camera, as they come and packed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from storm_edge.frame import Frame
from storm_edge.mcap.packed_frame import ColourCoding, PackedFrame, Packer

K = np.array([[50.0, 0.0, 23.5], [0.0, 50.5, 15.5], [0.0, 0.0, 1.0]])
SIZE_PX = (32, 48)
T0_NS = 1_760_000_000_000_000_000


def frame(index: int, *, stamp_ns: int | None = None, is_millimetres: bool = True) -> Frame:
    """A picture that no other index has; depth has gaps."""
    rng = np.random.default_rng(index)
    steps = rng.integers(0, 3000, SIZE_PX).astype(np.uint16)
    steps[:4] = 0
    depth_m = steps.astype(np.float32) * np.float32(1e-3 if is_millimetres else 1.2345e-3)
    rgb = rng.integers(0, 256, (*SIZE_PX, 3), dtype=np.uint8)
    return Frame(rgb=rgb, depth_m=depth_m, K=K, stamp_ns=index * 33 if stamp_ns is None else stamp_ns, index=index)


def packed(frames: list[Frame], colour: ColourCoding = ColourCoding.LOSSLESS, **about: Any) -> list[PackedFrame]:
    """The frames packed, a millisecond apart, with a line each."""
    packer = Packer(colour)
    return [
        packer.pack(one, arrived_ns=T0_NS + place * 10**6, lines=(json.dumps({"frame": one.index}),), **about)
        for place, one in enumerate(frames)
    ]
