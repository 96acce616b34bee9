"""Sixteen views and the colours of every object of a pool, on the pool's device: what the segmenter is told of it."""

from __future__ import annotations

import numpy as np
import torch

from storm_edge.generator.mesh_pool import MeshPool
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.segment_inputs.colour_model import CHROMA_BINS, RGB_BINS
from storm_edge.kernels.segment_inputs.contract import VIEW_CHANNELS, VIEW_COUNT, VIEW_PX
from storm_edge.kernels.segment_inputs.object_views import object_views


class ViewBank:
    """`kernels.segment_inputs.object_views` of every object slot; a slot's costs a CPU 10 ms when it is renewed.

    Args:
        pool: The objects; call `refresh` after it was renewed.

    Attributes:
        channels: View channels ``(S, 16, 8, 32, 32)`` float16.
        rgb: Colour densities over RGB, flattened, ``(S, 4096)`` float32.
        chroma: Colour densities over red and green shares, flattened, ``(S, 576)`` float32.
    """

    def __init__(self, pool: MeshPool) -> None:
        self._pool = pool
        self._version = np.zeros(pool.object_count, dtype=np.int64)
        slots, device = pool.object_count, pool.device
        shape = (slots, VIEW_COUNT, VIEW_CHANNELS, VIEW_PX, VIEW_PX)
        self.channels = torch.zeros(shape, dtype=torch.float16, device=device)
        self.rgb = torch.zeros((slots, RGB_BINS**3), device=device)
        self.chroma = torch.zeros((slots, CHROMA_BINS**2), device=device)
        self.refresh()

    def refresh(self) -> None:
        """Make the views of all slots that were renewed since."""
        current = self._pool.version[: self._pool.object_count]
        for slot in np.flatnonzero(current != self._version).tolist():
            buffers = MeshBuffers.from_mesh(self._pool.mesh(slot), "cpu")
            views = object_views(buffers, self._pool.diameters_m[slot])
            self.channels[slot] = torch.from_numpy(views.channels)
            self.rgb[slot] = torch.from_numpy(views.colours.rgb.reshape(-1))
            self.chroma[slot] = torch.from_numpy(views.colours.chroma.reshape(-1))
        self._version[:] = current
