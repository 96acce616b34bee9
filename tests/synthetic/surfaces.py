"""Measures of a closed surface."""

from __future__ import annotations

import numpy as np

from storm_edge.synthetic.primitives import Surface, weld


def is_closed(surface: Surface) -> bool:
    """Every directed edge has exactly one neighbour that runs along it the other way."""
    _, faces = weld(surface)
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there, there_count = np.unique(directed, axis=0, return_counts=True)
    back, back_count = np.unique(directed[:, ::-1], axis=0, return_counts=True)
    return np.array_equal(there, back) and np.array_equal(there_count, back_count)


def volume(surface: Surface) -> float:
    """Volume inside a closed surface, negative when it is inside out (divergence theorem)."""
    a, b, c = (surface[0][surface[1][:, k]] for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6.0)
