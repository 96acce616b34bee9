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
from numpy.typing import NDArray

from storm_edge.errors import InputError
from storm_edge.frame import Frame
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.register.config import ScaleConfig

Bool = NDArray[np.bool_]
Register = Callable[[FrameBuffers, Bool], "Explained"]
"""Registers the model under a mask ``(H, W)`` of a frame, and says what it explains there."""


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


class ScaleProbe:
    """Asks whether another scale explains a mask better.

    Each scale is registered quickly at first; only where that explains more than the given one, as it hardly ever
    does for a right model, the whole schedule is asked, and decides.

    Args:
        config: Which scales are tried, and how much better they must be.
    """

    def __init__(self, config: ScaleConfig) -> None:
        self._config = config
        # Kept: recorded launches remember each frame's buffers, and what they hold.
        self._scaled: FrameBuffers | None = None

    def better_scale(
        self, frame: FrameBuffers, mask: Bool, given: Explained, *, quick: Register, whole: Register
    ) -> BetterScale | None:
        """The best of other scales; None where none is clearly better than the given one.

        Args:
            frame: The image, uploaded.
            mask: Object pixels, ``(H, W)``.
            given: What the model explains at the given scale.
            quick: Registers the model in a scaled frame just well enough to tell.
            whole: The same as well as it can be done.
        """
        config = self._config
        if given.overlap >= config.sure_overlap:
            return None
        for step in config.rescalings:
            best = BetterScale(factor=1.0, explained=given)
            for count in range(config.max_rescalings):
                factor = float(step ** (count + 1))
                scaled = self._scaled_frame(frame, factor)
                if _asked(quick, scaled, mask).total - best.explained.total <= config.min_quick_gain:
                    break
                found = _asked(whole, scaled, mask)
                gain = found.total - best.explained.total
                if gain <= config.min_gain or found.visible <= best.explained.visible:
                    break
                best = BetterScale(factor=factor, explained=found)
            if best.factor != 1.0:
                return best
        return None

    def _scaled_frame(self, frame: FrameBuffers, factor: float) -> FrameBuffers:
        """The frame in which the model is ``factor`` times as large."""
        if self._scaled is None or self._scaled.size_px != frame.size_px:
            self._scaled = FrameBuffers(*frame.size_px, frame.device)
        depth_m = frame.depth.numpy() * np.float32(1.0 / factor)
        self._scaled.upload(Frame(rgb=frame.rgb.numpy(), depth_m=depth_m, K=frame.K, index=0))
        return self._scaled


def _asked(register: Register, frame: FrameBuffers, mask: Bool) -> Explained:
    try:
        return register(frame, mask)
    except InputError:  # the mask cannot be an object of that size at all
        return NOTHING
