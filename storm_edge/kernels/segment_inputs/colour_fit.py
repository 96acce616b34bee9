"""How well the colours under a mask fit an object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.kernels.segment_inputs.colour_model import ColourModel
from storm_edge.kernels.segment_inputs.small_frame import SmallFrame


def colour_fit(frame: SmallFrame, colours: ColourModel, mask: NDArray[np.bool_]) -> float:
    """How well the colours under a mask fit an object: mean log2 density less the object's own [bits].

    Args:
        frame: The image.
        colours: The object's colours.
        mask: At image size ``(H, W)``.

    Returns:
        About 0 for the object, negative for other colours; 0 for a mask without a pixel at the working size.
    """
    marked = frame.letterbox.shrink(mask) > 0.5
    if not marked.any():
        return 0.0
    bits = np.log2(1.0 + colours.rgb.reshape(-1)[frame.rgb_bins[marked]])
    return float(bits.mean()) - colours.own_bits
