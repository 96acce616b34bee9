"""What is learned of an object's appearance while it is followed: colours of object and surroundings, and exposure.

The state of one track, and nothing else: who updates it is `pipeline.refine.descent`. A tracker hands it to another
one with `AppearanceModel.copy_from`, and to searches as `AppearanceModel.log_odds`.
"""

from __future__ import annotations

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.kernels import contour_region
from storm_edge.kernels.device import Device, WpArray


class AppearanceModel:
    """Colour statistics and exposure of one object in the present light; the buffers stay where they are.

    Args:
        device: Warp device of the buffers.

    Attributes:
        colours_known: Whether colours were learned; without them the contour says nothing.
        exposure_known: Whether gain and bias were learned; without them the texture says nothing.
        colour_counts: Counts of an update under way, all 0 between updates, ``(2, BIN_COUNT + 1)`` float32; the last
            entries are totals.
        histograms: Probability of each colour bin on the object and around it, ``(2, BIN_COUNT)`` float32.
        log_odds_buffer: Log of foreground over background probability per bin, ``(BIN_COUNT,)`` float32.
        exposure: Gain and bias of the image's tones over the model's, ``(1,)`` vec2.
    """

    def __init__(self, device: Device) -> None:
        self.colours_known = False
        self.exposure_known = False
        self.colour_counts: WpArray = wp.zeros((2, contour_region.BIN_COUNT + 1), dtype=wp.float32, device=device)
        self.histograms: WpArray = wp.zeros((2, contour_region.BIN_COUNT), dtype=wp.float32, device=device)
        self.log_odds_buffer: WpArray = wp.zeros(contour_region.BIN_COUNT, dtype=wp.float32, device=device)
        self.exposure: WpArray = wp.zeros(1, dtype=wp.vec2, device=device)

    def copy_from(self, other: AppearanceModel) -> None:
        """Take over what another model of the same object knows. Enqueues only."""
        wp.copy(self.histograms, other.histograms)
        wp.copy(self.log_odds_buffer, other.log_odds_buffer)
        wp.copy(self.exposure, other.exposure)
        self.colours_known, self.exposure_known = other.colours_known, other.exposure_known

    def log_odds(self) -> NDArray[np.float32] | None:
        """Log of foreground over background probability per colour bin, ``(BIN_COUNT,)``; None before an update.

        Waits for the device.
        """
        return np.array(self.log_odds_buffer.numpy()) if self.colours_known else None
