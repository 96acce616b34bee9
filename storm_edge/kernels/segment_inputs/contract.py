"""Sizes and channels of the inputs, as the trained network takes them."""

from __future__ import annotations

SIZE_PX = (120, 160)
"""Height and width of the image channels, the working size [px]."""
MASK_PX = (60, 80)
"""Height and width of object channels and masks [px]."""
IMAGE_CHANNELS = 8
"""RGB, surface normal, log2 of z [m], and whether depth was measured."""
OBJECT_CHANNELS = 5
"""Colour likelihood, the same over that of the scene, chroma likelihood, log2 of the object's apparent size, distance
from the large planes in diameters."""
VIEW_COUNT = 16
"""Views of an object."""
VIEW_PX = 32
"""Side of a view [px]."""
VIEW_CHANNELS = 8
"""RGB, surface normal, depth behind the object's centre [radii], silhouette."""
