"""Vertex colours: what is painted on a surface, from plain grey to labels and speckle."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.se3 import random_rotation
from storm_edge.synthetic.fields import space_field

Float64 = NDArray[np.float64]

PLAIN = "plain"
"""The kind that leaves a shape's symmetries as they are."""


def random_colour(rng: np.random.Generator) -> Float64:
    """One RGB colour in [0, 1] ``(3,)``: a third greys, the rest of any hue, more often muted than loud."""
    value = rng.uniform(0.06, 0.95)
    saturation = rng.uniform(0.0, 0.08) if rng.random() < 0.33 else rng.beta(1.6, 1.4)
    return np.asarray(colorsys.hsv_to_rgb(rng.random(), saturation, value), dtype=np.float64)


def _palette(rng: np.random.Generator, count: int) -> Float64:
    """Colours ``(count, 3)`` of which the first two are well apart."""
    colours = np.stack([random_colour(rng) for _ in range(count)])
    while np.abs(colours[0] - colours[1]).sum() < 0.6:
        colours[1] = random_colour(rng)
    return colours


def _plain(rng: np.random.Generator, p: Float64, n: Float64) -> Float64:
    return np.tile(random_colour(rng), (len(p), 1))


def _gradient(rng: np.random.Generator, p: Float64, n: Float64) -> Float64:
    a, b = _palette(rng, 2)
    t = np.clip(p @ random_rotation(rng)[0] + 0.5, 0.0, 1.0)[:, None]
    return np.asarray(a + (b - a) * t)


def _clouds(rng: np.random.Generator, p: Float64, n: Float64) -> Float64:
    colours = _palette(rng, 3)
    a = space_field(rng, p, rng.uniform(0.1, 0.5))[:, None]
    b = space_field(rng, p, rng.uniform(0.05, 0.15))[:, None]
    if rng.random() < 0.5:  # hard borders
        a, b = (a > 0.5).astype(np.float64), (b > 0.62).astype(np.float64)
    mixed = colours[0] + (colours[1] - colours[0]) * a
    return np.asarray(mixed + (colours[2] - mixed) * b)


def _stripes(rng: np.random.Generator, p: Float64, n: Float64) -> Float64:
    colours = _palette(rng, int(rng.integers(2, 5)))
    frequency = rng.uniform(2.0, 8.0)
    if rng.random() < 0.4:
        t = np.arctan2(p[:, 1], p[:, 0]) / (2.0 * np.pi) * rng.integers(3, 9) + rng.uniform(-2, 2) * p[:, 2]
    else:
        t = p @ random_rotation(rng)[0] * frequency
    t = t + rng.uniform(0.0, 0.8) * space_field(rng, p, 0.3)
    return np.asarray(colours[np.floor(t).astype(np.int64) % len(colours)])


def _checkers(rng: np.random.Generator, p: Float64, n: Float64) -> Float64:
    colours = _palette(rng, 2)
    cells = np.floor(p @ random_rotation(rng).T * rng.uniform(3.0, 8.0) + rng.random(3)).astype(np.int64)
    odd = cells.sum(axis=1) % 2
    # Cells of their own brightness: a perfect checker looks the same after many a turn.
    shade = rng.uniform(0.6, 1.0, 64)[(cells @ [1, 5, 25]) % 64]
    return np.asarray(colours[odd] * shade[:, None])


def _cells(rng: np.random.Generator, p: Float64, n: Float64) -> Float64:
    seeds = rng.uniform(-0.5, 0.5, (int(rng.integers(6, 60)), 3))
    nearest = np.argmin(np.sum((p[:, None] - seeds[None]) ** 2, axis=-1), axis=1)
    colours = _palette(rng, max(2, int(rng.integers(2, 8))))
    return np.asarray(colours[rng.integers(len(colours), size=len(seeds))[nearest]])


def _speckle(rng: np.random.Generator, p: Float64, n: Float64) -> Float64:
    base, dots = _palette(rng, 2)
    out = np.tile(base, (len(p), 1))
    out[rng.random(len(p)) < rng.uniform(0.02, 0.15)] = dots
    band = p[:, 2] > rng.uniform(0.15, 0.45)
    out[band] = random_colour(rng)
    return out


def _labels(rng: np.random.Generator, p: Float64, n: Float64) -> Float64:
    """Rectangles as if printed from one side, some with rows of marks in them like text."""
    out = np.tile(random_colour(rng), (len(p), 1))
    for _ in range(int(rng.integers(2, 7))):
        R = random_rotation(rng)
        u, v, facing = p @ R[0], p @ R[1], n @ R[2]
        centre, half = rng.uniform(-0.25, 0.25, 2), rng.uniform(0.06, 0.3, 2)
        inside = (facing > 0.15) & (np.abs(u - centre[0]) < half[0]) & (np.abs(v - centre[1]) < half[1])
        out[inside] = random_colour(rng)
        if rng.random() < 0.6:
            rows = np.floor(v * rng.uniform(15.0, 30.0)).astype(np.int64) % 2 == 0
            marks = space_field(rng, np.stack([u, v, np.zeros_like(u)], axis=1), 0.03) > 0.5
            out[inside & rows & marks] = random_colour(rng)
    return out


def _bands(rng: np.random.Generator, p: Float64, n: Float64) -> Float64:
    borders = np.sort(rng.uniform(-0.5, 0.5, int(rng.integers(1, 4))))
    colours = _palette(rng, len(borders) + 1)
    out = colours[np.searchsorted(borders, p[:, 2])]
    side = n @ random_rotation(rng)[0] > rng.uniform(0.2, 0.7)  # one side differs, so the turn about z shows
    out[side] = random_colour(rng)
    return np.asarray(out)


KINDS = {
    "bands": _bands,
    "cells": _cells,
    "checkers": _checkers,
    "clouds": _clouds,
    "gradient": _gradient,
    "labels": _labels,
    PLAIN: _plain,
    "speckle": _speckle,
    "stripes": _stripes,
}
"""Painters by name: ``(rng, positions of about unit size (V, 3), unit normals (V, 3)) -> RGB (V, 3)``."""

_WEIGHTS = {"labels": 2.5, "clouds": 1.5, "speckle": 1.0, "bands": 1.5, "gradient": 0.5}


def paint(
    rng: np.random.Generator,
    vertices: NDArray[np.floating],
    normals: NDArray[np.floating],
    *,
    kind: str | None = None,
) -> tuple[Float64, str]:
    """Colours in [0, 1] ``(V, 3)`` and the kind that was drawn.

    Args:
        rng: Source of randomness.
        vertices: Positions, AABB centre in the origin, ``(V, 3)``.
        normals: Unit normals ``(V, 3)``.
        kind: A name in `KINDS`; drawn when None.
    """
    if kind is None:
        names = sorted(KINDS)
        weights = np.array([_WEIGHTS.get(name, 1.0) for name in names])
        kind = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    p = np.asarray(vertices, dtype=np.float64)
    p = p / max(float(np.ptp(p, axis=0).max()), 1e-9)
    colours = KINDS[kind](rng, p, np.asarray(normals, dtype=np.float64))
    if kind != PLAIN:
        colours = colours * (1.0 + rng.uniform(0.0, 0.12) * rng.standard_normal((len(p), 1)))  # grain
    return np.clip(colours, 0.0, 1.0), kind
