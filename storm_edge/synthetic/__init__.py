"""Made-up RGB-D data with exact ground truth: objects, hands, rooms, a depth sensor's faults, motion.

From the bottom: `fields` (smooth randomness), `shapes` and `textures` (one object), `objects` (seeds to objects),
`hands`, `rooms` (what is around it), `layers` (who hides whom), `sensor` and `appearance` (what the camera makes of
it), `motion`, and on top `scenes` (frames and sequences), `pairs` (training pairs) and `demo`.
"""
