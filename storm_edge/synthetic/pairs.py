"""Training pairs: the model rendered at a wrong pose, the observation cropped alike, and what would set it right.

`PairSampler` is the data source of `storm-edge train`. Its pictures go through the same crop window and xyz
normalisation as at run time (`docs/reference-networks.md` sections 5.4 to 5.7). It is an endless stream: nothing is
stored, every batch is new, and one seed gives one stream.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.se3 import exp_so3, make_T, random_rotation
from storm_edge.geometry.symmetry import nearest_symmetric
from storm_edge.kernels.reference.crop_window import plain_windows
from storm_edge.kernels.reference.pose_update import update_target
from storm_edge.kernels.renderer import render
from storm_edge.synthetic.crops import crop, write_network_input
from storm_edge.synthetic.object_pool import ObjectPool, PooledObject
from storm_edge.synthetic.patches import Observation, observe
from storm_edge.synthetic.splits import objects_of_stream

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Batch = dict[str, Float32]


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """What the stream of pairs is like."""

    crop_ratio: float = 1.2
    """Side of the crop window in object diameters."""
    pool_size: int = 192
    """Objects in memory at a time."""
    pairs_per_renewal: int = 64
    """One object of the pool is exchanged after this many pairs."""
    scenes_per_object: int = 4
    """Scenes made of one object at a time."""
    poses_per_scene: int = 3
    """Wrong poses tried in one scene (`refine_batch`)."""


class PairSampler:
    """An endless, seeded stream of training batches.

    Args:
        seed: Seed of the stream; data workers take different ones. From `EVALUATION_FROM` on the objects are those of
            evaluation, which training never sees.
        size_px: Side of the network's crops [px].
        device: Where rendering happens.
        config: What the stream is like.
    """

    def __init__(
        self, seed: int, *, size_px: int = 80, device: str = "cpu", config: PairConfig | None = None
    ) -> None:
        self.size_px = size_px
        self.config = config or PairConfig()
        self._rng = np.random.default_rng(seed)
        self.pool = ObjectPool(self._rng, size=self.config.pool_size, device=device, seeds=objects_of_stream(seed))
        self._since_renewal = 0

    def refine_batch(self, n: int) -> Batch:
        """``n`` pairs for RefineNet.

        Returns:
            ``rendered`` and ``observed`` ``(n, 6, S, S)``; ``trans_target`` ``(n, 3)`` in half diameters;
            ``rot_target`` ``(n, 3)``, the wanted value of ``tanh(rot)``, clipped to [-1, 1];
            ``weight`` ``(n,)``, lower where much of the object is hidden.
        """
        config = self.config
        batch = self._empty(n, trans_target=(3,), rot_target=(3,), weight=())
        filled = 0
        while filled < n:
            target = self.pool.pick()
            scenes = observe(self._rng, self.pool, target, config.scenes_per_object)
            seen = [scene for scene in scenes for _ in range(config.poses_per_scene)][: n - filled]
            T_old = np.stack([_perturbed(self._rng, scene.T_cam_obj, target.truth.diameter_m) for scene in seen])
            part = slice(filled, filled + len(seen))
            self._picture(target, seen, T_old, batch, part)
            for i, scene in enumerate(seen, start=filled):
                T_new = nearest_symmetric(scene.T_cam_obj, T_old[i - filled], target.truth.symmetries)
                trans, rot = update_target(T_old[i - filled], T_new, diameter_m=target.truth.diameter_m)
                batch["trans_target"][i], batch["rot_target"][i] = trans, np.clip(rot, -1.0, 1.0)
                batch["weight"][i] = 0.5 + 0.5 * scene.visible_share
            filled += len(seen)
            self._renew(len(seen))
        return batch

    def score_batch(self, sets: int, hypotheses: int) -> Batch:
        """``sets`` observations with ``hypotheses`` poses each for ScoreNet.

        Returns:
            ``rendered`` and ``observed`` ``(sets, hypotheses, 6, S, S)``;
            ``add_error`` ``(sets, hypotheses)`` mean vertex distance in diameters: of corresponding vertices (ADD),
            or of nearest ones (ADD-S) where the object has no unique pose.
        """
        batch = self._empty(sets * hypotheses)
        batch["add_error"] = np.zeros((sets, hypotheses), dtype=np.float32)
        done = 0
        while done < sets:
            target = self.pool.pick()
            scenes = observe(self._rng, self.pool, target, min(self.config.scenes_per_object, sets - done))
            for scene in scenes:
                T_old = _hypotheses(self._rng, scene.T_cam_obj, target.truth.diameter_m, hypotheses)
                part = slice(done * hypotheses, (done + 1) * hypotheses)
                self._picture(target, [scene] * hypotheses, T_old, batch, part)
                batch["add_error"][done] = _pose_errors(target, scene.T_cam_obj, T_old)
                done += 1
            self._renew(len(scenes) * hypotheses)
        for name in ("rendered", "observed"):
            batch[name] = batch[name].reshape(sets, hypotheses, *batch[name].shape[1:])
        return batch

    def _empty(self, n: int, **more: tuple[int, ...]) -> Batch:
        side = self.size_px
        shapes = {"rendered": (6, side, side), "observed": (6, side, side), **more}
        return {name: np.zeros((n, *shape), dtype=np.float32) for name, shape in shapes.items()}

    def _renew(self, pair_count: int) -> None:
        self._since_renewal += pair_count
        while self._since_renewal >= self.config.pairs_per_renewal:
            self._since_renewal -= self.config.pairs_per_renewal
            self.pool.renew_one()

    def _picture(
        self, target: PooledObject, seen: list[Observation], T_old: Float64, batch: Batch, part: slice
    ) -> None:
        """Fill both pictures of every pair of ``part``."""
        side, radius = self.size_px, target.truth.diameter_m / 2.0
        placed = [
            plain_windows(T, scene.K, reach_m=radius * self.config.crop_ratio, size_px=side)
            for scene, T in zip(seen, T_old, strict=True)
        ]
        K_crop = np.stack([K for _, K in placed])
        model = render(target.buffers, T_old, K_crop, side)
        for i, (scene, (window, _)) in enumerate(zip(seen, placed, strict=True)):
            t = T_old[i, :3, 3]
            colour, xyz = crop(scene, window, side)
            write_network_input(batch["rendered"][part.start + i], model.colour[i], model.xyz[i], t, radius)
            write_network_input(batch["observed"][part.start + i], colour, xyz, t, radius)


def _turn(rng: np.random.Generator, angle: float) -> Float64:
    """Rotation by ``angle`` [rad] about a random axis ``(3, 3)``."""
    axis = rng.standard_normal(3)
    return exp_so3(axis / np.linalg.norm(axis) * angle)


def _shifted(T: Float64, turn: Float64, shift: Float64) -> Float64:
    """The pose turned about the object's centre in camera axes, and shifted [m]."""
    return make_T(turn @ T[:3, :3], T[:3, 3] + shift)


def _perturbed(rng: np.random.Generator, T: Float64, d: float) -> Float64:
    """A wrong pose as registration (half of them) or tracking leaves it."""
    kind = rng.random()
    if kind < 0.5:  # a hypothesis of the rotation grid; its depth comes from the visible front, so z errs most
        angle = np.deg2rad(rng.uniform(0.0, 35.0))
        shift = np.append(rng.normal(0.0, 0.07, 2), rng.uniform(-0.4, 0.3)) * d
    elif kind < 0.85:  # between two frames
        angle = np.deg2rad(abs(rng.normal(0.0, 7.0)))
        shift = rng.normal(0.0, 0.04, 3) * d
    else:  # nearly right: the network must also learn to hold still
        angle = np.deg2rad(abs(rng.normal(0.0, 1.5)))
        shift = rng.normal(0.0, 0.008, 3) * d
    shift[2] = max(shift[2], 0.1 - T[2, 3])
    return _shifted(T, _turn(rng, float(angle)), shift)


def _hypotheses(rng: np.random.Generator, T: Float64, d: float, count: int) -> Float64:
    """Poses ``(count, 4, 4)`` as a registration has to choose from, in random order; one at least is near truth."""
    poses = []
    for index in range(count):
        kind = rng.random()
        shift = rng.normal(0.0, 0.02, 3) * d
        if index == 0 or kind < 0.12:
            turn, shift = _turn(rng, np.deg2rad(abs(rng.normal(0.0, 3.0)))), shift * 0.4
        elif kind < 0.4:
            turn = _turn(rng, np.deg2rad(rng.uniform(4.0, 40.0)))
        elif kind < 0.6:  # anywhere on the grid
            turn = random_rotation(rng)
        elif kind < 0.75:  # upside down or back to front
            turn = T[:3, :3] @ np.diag([[1, -1, -1], [-1, 1, -1], [-1, -1, 1]][int(rng.integers(3))]) @ T[:3, :3].T
            turn = _turn(rng, np.deg2rad(abs(rng.normal(0.0, 6.0)))) @ turn
        elif kind < 0.85:  # turned in the image
            turn = exp_so3([0.0, 0.0, rng.choice([-1.0, 1.0]) * np.deg2rad(rng.uniform(20.0, 180.0))])
        else:  # in the wrong place
            turn, shift = _turn(rng, np.deg2rad(rng.uniform(0.0, 10.0))), rng.normal(0.0, 0.12, 3) * d
        poses.append(_shifted(T, turn, shift))
    return np.stack(poses)[rng.permutation(count)]


def _pose_errors(target: PooledObject, T_true: Float64, T: Float64) -> Float64:
    """ADD, or ADD-S where the pose is not unique, of poses ``(N, 4, 4)`` in diameters ``(N,)``."""
    vertices = target.truth.mesh.vertices[:: max(1, len(target.truth.mesh.vertices) // 400)].astype(np.float64)
    truth = vertices @ T_true[:3, :3].T + T_true[:3, 3]
    moved = vertices @ T[:, :3, :3].transpose(0, 2, 1) + T[:, None, :3, 3]
    if target.truth.pose_is_unique:
        distances = np.linalg.norm(moved - truth, axis=2)
    else:
        squared = (
            np.sum(moved**2, axis=2)[:, None]
            + np.sum(truth**2, axis=1)[:, None]
            - 2.0 * truth @ moved.transpose(0, 2, 1)
        )
        distances = np.sqrt(np.maximum(squared.min(axis=2), 0.0))
    return np.asarray(distances.mean(axis=1) / target.truth.diameter_m)
