"""Groups of crops of one object, good and bad: what the verifier is trained and judged on.

Good crops are cut out at the object's pose, from similar and from quite different sides. Bad ones are what a lost
track is at: the object beside its place, another object, nothing, or something in front. The crops are made as
RefineNet's `observed` is at run time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.se3 import exp_so3, random_rotation
from storm_edge.kernels.reference.crop_window import plain_windows
from storm_edge.synthetic.crops import crop, network_input
from storm_edge.synthetic.object_pool import ObjectPool
from storm_edge.synthetic.patches import Observation, observe
from storm_edge.synthetic.splits import objects_of_stream

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Batch = dict[str, Float32]

GOOD_COUNT = 4
BAD_COUNT = 4
CROP_RATIO = 1.2
"""Side of the crop window in diameters, RefineNet's."""


class GroupSampler:
    """An endless, seeded stream of training batches for the verifier.

    Args:
        seed: Seed of the stream; from `EVALUATION_FROM` on the objects are those of evaluation.
        size_px: Side of the crops [px].
        pool_size: Objects in memory at a time.
    """

    def __init__(self, seed: int, *, size_px: int = 80, pool_size: int = 160) -> None:
        self.size_px = size_px
        self._rng = np.random.default_rng([seed, 6])
        self._pool = ObjectPool(self._rng, size=pool_size, seeds=objects_of_stream(seed))

    def group_batch(self, n: int) -> Batch:
        """``n`` groups of `GOOD_COUNT` good and `BAD_COUNT` bad crops, in this order.

        Returns:
            ``crops`` ``(n, G, 6, S, S)``, ``good`` ``(n, G)`` 1 or 0.
        """
        group = GOOD_COUNT + BAD_COUNT
        batch = {
            "crops": np.zeros((n, group, 6, self.size_px, self.size_px), dtype=np.float32),
            "good": np.zeros((n, group), dtype=np.float32),
        }
        batch["good"][:, :GOOD_COUNT] = 1.0
        for i in range(n):
            self._fill(batch["crops"][i])
            if self._rng.random() < 0.5:
                self._pool.renew_one()
        return batch

    def _fill(self, crops: Float32) -> None:
        rng = self._rng
        target = self._pool.pick()
        d = target.truth.diameter_m
        # Most remembered crops are from about the same side as the current one, some from anywhere.
        anchor = random_rotation(rng)
        reach = np.deg2rad(rng.choice([15.0, 40.0, 80.0]))
        turned = np.stack([exp_so3(rng.normal(0.0, 0.6, 3) * reach) @ anchor for _ in range(GOOD_COUNT)])
        scenes = observe(rng, self._pool, target, GOOD_COUNT, rotations=turned)
        for k, scene in enumerate(scenes):
            shift = rng.normal(0.0, 0.02, 3) * d
            crops[k] = self._crop(scene, scene.T_cam_obj[:3, 3] + shift, d)
        other = self._pool.pick_beside(d)
        while other.truth.seed == target.truth.seed:
            other = self._pool.pick()
        strangers = observe(rng, self._pool, other, 2)
        for k in range(BAD_COUNT):
            kind = rng.random()
            if kind < 0.45:  # slid off, along the image or the view
                scene = scenes[int(rng.integers(len(scenes)))]
                shift = _slide(rng) * d
            elif kind < 0.8:  # on another object
                scene = strangers[int(rng.integers(len(strangers)))]
                shift = rng.normal(0.0, 0.05, 3) * d
            else:  # behind something, or on nothing in particular
                scene = strangers[int(rng.integers(len(strangers)))]
                shift = np.append(rng.normal(0.0, 0.3, 2), rng.choice([0.4, 0.8, -0.8])) * d
            crops[GOOD_COUNT + k] = self._crop(scene, scene.T_cam_obj[:3, 3] + shift, d)

    def _crop(self, scene: Observation, t: Float64, diameter_m: float) -> Float32:
        """The picture that RefineNet would observe with the pose at ``t`` [m]."""
        T = np.eye(4)
        T[:3, 3] = [t[0], t[1], max(t[2], 0.1)]
        window, _ = plain_windows(T, scene.K, reach_m=0.5 * diameter_m * CROP_RATIO, size_px=self.size_px)
        colour, xyz = crop(scene, window, self.size_px)
        out = network_input(colour, xyz, T[:3, 3], diameter_m / 2.0)
        if self._rng.random() < 0.3:
            # The end of the picture, for good and bad alike: it must not tell them apart.
            edge = int(self.size_px * self._rng.uniform(0.05, 0.4))
            turns = int(self._rng.integers(4))
            np.rot90(out, turns, axes=(1, 2))[:, :edge] = 0.0
        return out


def _slide(rng: np.random.Generator) -> Float64:
    """Where a track may have gone [diameters]: a third of the object or more, sideways or in depth."""
    direction = rng.standard_normal(2)
    sideways = direction / np.linalg.norm(direction) * rng.uniform(0.33, 0.65)
    if rng.random() < 0.75:
        return np.append(sideways, rng.normal(0.0, 0.1))
    return np.append(rng.normal(0.0, 0.05, 2), rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.0))
