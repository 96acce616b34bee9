"""Warp and torch on one CUDA stream, so that each sees what the other wrote."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import warp as wp

from storm_edge.kernels.device import Device


def on_torch_stream(device: Device) -> AbstractContextManager[object]:
    """Launch Warp kernels on torch's current stream; on a CPU there is nothing to do."""
    if device.is_cpu:
        return nullcontext()
    stream: AbstractContextManager[object] = wp.ScopedStream(
        wp.stream_from_torch(torch.cuda.current_stream(torch.device(device.alias)))
    )
    return stream
