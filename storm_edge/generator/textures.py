"""Pictures on the planes around the objects: what tables, floors and cloths are made of, and what stands in rooms.

Real surroundings are mostly grey, white, black and wooden, and seldom plain; loud colours are rare but happen. All
pictures repeat without a seam or are cut where it looks like an edge.
"""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.synthetic.fields import image_field
from storm_edge.synthetic.rooms import random_texture

Float32 = NDArray[np.float32]

TEXTURE_PX = 256
"""Side of a picture [px]."""
_SIZE = (TEXTURE_PX, TEXTURE_PX)


def muted_colour(rng: np.random.Generator) -> Float32:
    """A colour of things around: greys from black to white, wood, and now and then a hue ``(3,)``."""
    kind = rng.random()
    if kind < 0.5:
        hue, saturation, value = rng.random(), rng.uniform(0.0, 0.1), rng.beta(1.3, 0.9)
    elif kind < 0.75:
        hue, saturation, value = rng.uniform(0.04, 0.12), rng.uniform(0.15, 0.55), rng.uniform(0.2, 0.85)
    else:
        hue, saturation, value = rng.random(), rng.uniform(0.1, 0.7), rng.uniform(0.1, 0.9)
    return np.asarray(colorsys.hsv_to_rgb(hue, saturation, value), dtype=np.float32)


def surface_texture(rng: np.random.Generator) -> Float32:
    """A table, floor, wall or cloth, RGB in [0, 1] ``(S, S, 3)``."""
    makers = (_plain, _wood, _carpet, _holes, _tiles, _stone, random_texture)
    picture = makers[int(rng.choice(len(makers), p=(0.26, 0.2, 0.14, 0.06, 0.1, 0.14, 0.1)))](rng)
    wear = 1.0 + rng.uniform(0.0, 0.05) * image_field(rng, _SIZE, 1.0)
    stains = 1.0 + rng.uniform(0.0, 0.08) * image_field(rng, _SIZE, rng.uniform(20.0, 80.0))
    return np.clip(picture * (wear * stains)[..., None], 0.0, 1.0).astype(np.float32)


def scenery_texture(rng: np.random.Generator) -> Float32:
    """What stands in a room, flattened onto a wall: boxes, legs, cables, lights and prints, ``(S, S, 3)``."""
    picture = np.tile(muted_colour(rng), (*_SIZE, 1))
    for _ in range(int(rng.integers(4, 30))):
        colour = tuple(float(c) for c in muted_colour(rng))
        kind = rng.random()
        u, v = (int(x) for x in rng.integers(-20, TEXTURE_PX, 2))
        if kind < 0.55:
            wide, high = (int(x) for x in np.exp(rng.uniform(np.log(4.0), np.log(130.0), 2)))
            cv2.rectangle(picture, (u, v), (u + wide, v + high), colour, -1 if rng.random() < 0.8 else 2)
        elif kind < 0.8:
            end = (int(rng.integers(0, TEXTURE_PX)), int(rng.integers(0, TEXTURE_PX)))
            cv2.line(picture, (u, v), end if rng.random() < 0.4 else (u, end[1]), colour, int(rng.integers(1, 8)))
        else:
            cv2.circle(picture, (u, v), int(rng.integers(3, 45)), colour, -1 if rng.random() < 0.6 else 3)
    if rng.random() < 0.6:  # out of focus, as what is far behind mostly is
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 4.0))), dtype=np.float32)
    return np.clip(picture * (1.0 + 0.05 * image_field(rng, _SIZE, 25.0))[..., None], 0.0, 1.0).astype(np.float32)


def _plain(rng: np.random.Generator) -> Float32:
    return np.tile(muted_colour(rng), (*_SIZE, 1))


def _blend(rng: np.random.Generator, weight: Float32, contrast: float) -> Float32:
    """Between a colour and a lighter or darker one of its kind."""
    base = muted_colour(rng)
    other = np.clip(base * np.float32(np.exp(rng.choice([-1.0, 1.0]) * contrast)), 0.0, 1.0)
    return np.asarray(base + (other - base) * np.clip(weight, 0.0, 1.0)[..., None], dtype=np.float32)


def _wood(rng: np.random.Generator) -> Float32:
    """Boards with a grain, each of its own shade."""
    v, u = np.mgrid[0:TEXTURE_PX, 0:TEXTURE_PX].astype(np.float32) / np.float32(TEXTURE_PX)
    boards = int(rng.integers(1, 7))
    board = np.minimum((v * boards).astype(np.int64), boards - 1)
    grain = cv2.resize(image_field(rng, (TEXTURE_PX, 16), 2.0), (TEXTURE_PX, TEXTURE_PX))
    rings = np.sin(2.0 * np.pi * (v * rng.uniform(8.0, 30.0) + 0.3 * image_field(rng, _SIZE, 50.0) + 0.5 * u))
    weight = 0.4 + 0.15 * grain + 0.15 * rings + 0.3 * (rng.random(boards)[board] - 0.5)
    picture = _blend(rng, weight.astype(np.float32), rng.uniform(0.3, 0.9))
    seam = np.abs(v * boards - np.round(v * boards)) < 0.012 * boards
    return np.where(seam[..., None], picture * np.float32(rng.uniform(0.4, 1.0)), picture)


def _carpet(rng: np.random.Generator) -> Float32:
    """Fine weave, with rows or without."""
    weight = 0.5 + 0.35 * image_field(rng, _SIZE, rng.uniform(1.0, 3.0))
    if rng.random() < 0.5:
        rows = np.sin(np.arange(TEXTURE_PX, dtype=np.float32) * np.float32(2.0 * np.pi * rng.integers(8, 40) / 256.0))
        weight = weight + np.float32(0.3) * rows[:, None]
    return _blend(rng, weight.astype(np.float32), rng.uniform(0.2, 0.9))


def _holes(rng: np.random.Generator) -> Float32:
    """An optical table or a perforated sheet."""
    v, u = np.mgrid[0:TEXTURE_PX, 0:TEXTURE_PX].astype(np.float32) / np.float32(TEXTURE_PX)
    cells = int(rng.integers(6, 20))
    offset = np.hypot(np.mod(u * cells, 1.0) - 0.5, np.mod(v * cells, 1.0) - 0.5)
    picture = _blend(rng, 0.5 + 0.2 * image_field(rng, _SIZE, 2.0), 0.2)
    return np.where((offset < rng.uniform(0.08, 0.25))[..., None], picture * np.float32(0.3), picture)


def _tiles(rng: np.random.Generator) -> Float32:
    v, u = np.mgrid[0:TEXTURE_PX, 0:TEXTURE_PX].astype(np.float32) / np.float32(TEXTURE_PX)
    cells, joint = int(rng.integers(1, 7)), rng.uniform(0.01, 0.06)
    between = (np.mod(u * cells, 1.0) < joint) | (np.mod(v * cells, 1.0) < joint)
    shade = rng.uniform(0.0, 1.0, (cells, cells)).astype(np.float32)
    weight = np.asarray(cv2.resize(shade, _SIZE, interpolation=cv2.INTER_NEAREST), dtype=np.float32)
    return np.where(between[..., None], muted_colour(rng), _blend(rng, weight, rng.uniform(0.05, 0.3)))


def _stone(rng: np.random.Generator) -> Float32:
    """Concrete, marble, brushed metal, dirty plastic."""
    weight = 0.5 + 0.3 * image_field(rng, _SIZE, rng.uniform(10.0, 60.0)) + 0.15 * image_field(rng, _SIZE, 4.0)
    return _blend(rng, weight.astype(np.float32), rng.uniform(0.1, 0.6))
