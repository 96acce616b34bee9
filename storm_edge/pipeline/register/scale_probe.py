"""Whether a model of another scale would explain a mask better: by registering it at other scales.

A model twice too large is put in front of its object, or with most of it behind something, and agrees with much of
what is seen; no width or area tells it from a right one that is hidden in part. The right scale explains more all the
same. A scene that is half as large is to a camera what a model twice as large is, so the depth is scaled, and all
that was made for the model is used as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from storm_edge.errors import InputError
from storm_edge.frame import Frame
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.register.config import ScaleConfig

Register = Callable[[FrameBuffers], "Explained"]
"""Registers the model in a frame, and says what it explains there."""


@dataclass(frozen=True, kw_only=True)
class Explained:
    """How much of what is seen a pose explains; each is 1 where it is all."""

    visible: float
    """Share of what should be seen by the mask that agrees (`Registration.visible`)."""
    agreeing: float
    """The same by depth alone, whatever is marked: a mask of a part does not speak against the rest."""
    overlap: float
    """Of silhouette and mask: the common area over that of both."""

    @property
    def total(self) -> float:
        """All three together, 0..3; none of them alone tells scales apart."""
        return self.visible + self.agreeing + self.overlap


NOTHING = Explained(visible=0.0, agreeing=0.0, overlap=0.0)
"""Where no pose can be found."""


@dataclass(frozen=True, kw_only=True)
class BetterScale:
    """A scale at which a model explains more."""

    factor: float
    """By what the model must be multiplied for it."""
    explained: Explained
    """What it explains then."""


def better_scale(
    register: Register, frame: FrameBuffers, given: Explained, config: ScaleConfig
) -> BetterScale | None:
    """The best of other scales; None where none is clearly better than the given one.

    Args:
        register: Registers the model in a scaled frame.
        frame: The image, uploaded.
        given: What the model explains at the given scale.
        config: Which scales are tried, and how much better they must be.
    """
    if given.overlap >= config.sure_overlap:
        return None
    for step in config.rescalings:
        best = BetterScale(factor=1.0, explained=given)
        for count in range(config.max_rescalings):
            factor = float(step ** (count + 1))
            found = _explained(register, frame, factor)
            gain = found.total - best.explained.total
            if gain <= config.min_gain or found.visible <= best.explained.visible:
                break
            best = BetterScale(factor=factor, explained=found)
        if best.factor != 1.0:
            return best
    return None


def _explained(register: Register, frame: FrameBuffers, factor: float) -> Explained:
    """What the model explains when it is ``factor`` times as large."""
    depth_m = frame.depth.numpy() * np.float32(1.0 / factor)
    scaled = FrameBuffers(*frame.size_px, frame.device)
    scaled.upload(Frame(rgb=frame.rgb.numpy(), depth_m=depth_m, K=frame.K, index=0))
    try:
        return register(scaled)
    except InputError:  # the mask cannot be an object of that size at all
        return NOTHING
