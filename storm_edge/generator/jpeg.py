"""What JPEG compression leaves of pictures: the lossy steps of the baseline format, on whole batches.

Colours to luminance and chroma, chroma at half the size, a cosine transform of every 8x8 block, rounding by the
tables of the standard (ITU-T T.81, annex K) at a quality as the IJG's library counts it, and all of it back. The
lossless half, the coding, is left out.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from storm_edge.generator.image_fields import enlarged, halved

_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)


def compressed(rgb: Tensor, quality: Tensor) -> Tensor:
    """Pictures after compression and decoding.

    Args:
        rgb: Colour in [0, 1], ``(B, 3, H, W)``.
        quality: 1..100, as the IJG's library counts it, ``(B,)``.

    Returns:
        Colour in [0, 1], ``(B, 3, H, W)``; not rounded to bytes.
    """
    height, width = rgb.shape[-2:]
    # The border is repeated up to whole blocks of both luminance and chroma.
    whole = height % 16 == 0 and width % 16 == 0
    x = (rgb if whole else F.pad(rgb, (0, -width % 16, 0, -height % 16), mode="replicate")) * 255.0
    red, green, blue = x.unbind(1)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = torch.stack([(blue - luminance) / 1.772, (red - luminance) / 1.402], dim=1)
    chroma = halved(chroma)
    scale = torch.where(quality < 50.0, 5000.0 / quality, 200.0 - 2.0 * quality)
    luminance = _rounded_blocks(luminance[:, None] - 128.0, _table(_LUMINANCE, scale))[:, 0] + 128.0
    chroma = _rounded_blocks(chroma, _table(_CHROMA, scale))
    cb, cr = enlarged(chroma, (2 * chroma.shape[2], 2 * chroma.shape[3])).unbind(1)
    red, blue = luminance + 1.402 * cr, luminance + 1.772 * cb
    green = (luminance - 0.299 * red - 0.114 * blue) / 0.587
    out = torch.stack([red, green, blue], dim=1)[..., :height, :width]
    return (out / 255.0).clamp_(0.0, 1.0)


def _table(base: tuple[tuple[int, ...], ...], scale: Tensor) -> Tensor:
    """Steps that coefficients are rounded to at qualities with these scales, ``(B, 64)``."""
    steps = torch.tensor(base, dtype=torch.float32, device=scale.device).flatten()
    return ((steps * scale[:, None] + 50.0) / 100.0).floor().clamp(1.0, 255.0)


def _rounded_blocks(x: Tensor, steps: Tensor) -> Tensor:
    """``(B, C, H, W)`` with the cosine coefficients of its 8x8 blocks rounded to multiples of ``steps (B, 64)``."""
    b, c, h, w = x.shape
    blocks = x.reshape(b, c, h // 8, 8, w // 8, 8).transpose(3, 4).reshape(b, c * h * w // 64, 64)
    basis = _cosines().to(x.device)
    coefficients = (blocks @ basis.T).div_(steps[:, None]).round_().mul_(steps[:, None])
    return (coefficients @ basis).reshape(b, c, h // 8, w // 8, 8, 8).transpose(3, 4).reshape(b, c, h, w)


@cache
def _cosines() -> Tensor:
    """The orthonormal transform of a flattened 8x8 block, ``(64, 64)``: a row per coefficient."""
    place, order = torch.arange(8, dtype=torch.float64), torch.arange(8, dtype=torch.float64)[:, None]
    line = torch.cos((2.0 * place + 1.0) * order * math.pi / 16.0) * 0.5
    line[0] *= math.sqrt(0.5)
    return torch.kron(line, line).float()
