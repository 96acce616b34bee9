"""Where half precision pays: on a GPU, for what the networks compute, never for a loss."""

from __future__ import annotations

import torch
from torch import Tensor


def half_where_fast(x: Tensor) -> torch.autocast:
    """A block in which layers compute in bfloat16 if ``x`` is on a CUDA device, and in float32 on a CPU.

    bfloat16 has the range of float32, so gradients need no scaling.
    """
    return torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=x.is_cuda)
