"""Synthetic RGB-D data with exact ground truth: objects, hands, rooms, a depth sensor's faults, motion.

From the bottom:

* `splits`: which seeds are for training, development, validation and test.
* `fields` (smooth randomness), `primitives`, `shapes`, `textures` (one object), `objects` (a seed to an object).
* `hands` and `rooms`: what is around an object.
* `layers` (what hides what), `sensor` and `appearance` (what the cameras make of it), `motion`.
* `scene_script` (what is to be rendered), `scene_renderer` (frames of it); scripts: `scenes`, `occlusions`, `demo`.
* `object_pool` and `clutter`: images of many objects, for searches.

What networks are trained on is made by `storm_edge.generator`.
"""
