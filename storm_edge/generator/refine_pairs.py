"""Pairs for RefineNet: the model drawn at a wrong pose, the observation cropped alike, and what sets it right."""

from __future__ import annotations

import torch
from torch import Tensor

from storm_edge.generator.chance import Chance
from storm_edge.generator.config import GeneratorConfig
from storm_edge.generator.contract import Batch
from storm_edge.generator.crops import SIZE_PX, observed_crops, rendered_crops, windows_of
from storm_edge.generator.motions import log_so3
from storm_edge.generator.observe import observe
from storm_edge.generator.scenes import SceneGenerator
from storm_edge.generator.symmetry import nearest_symmetric
from storm_edge.generator.targets import pick_targets
from storm_edge.generator.wrong_poses import perturbed
from storm_edge.kernels.pose_update import ROT_NORMALIZER_RAD


class RefinePairs:
    """An endless, seeded stream of pairs.

    Args:
        seed: Seed of the stream; from `EVALUATION_FROM` on the objects are those of evaluation.
        device: ``cpu``, ``cuda`` or ``cuda:i``.
        config: What pictures and pairs are like.
        size_px: Side of the crops [px].
    """

    def __init__(
        self, seed: int, *, device: str = "cpu", config: GeneratorConfig | None = None, size_px: int = SIZE_PX
    ) -> None:
        self.config = config or GeneratorConfig()
        self.size_px = size_px
        self.scenes = SceneGenerator(seed, device, self.config)

    @torch.no_grad()
    def batch(self, items: int) -> Batch:
        """``items`` pairs; see `contract.Source`.

        ``trans_target`` is in half diameters; ``rot_target`` is the wanted value of ``tanh(rot)``, clipped to
        [-1, 1]; ``weight`` is lower where much of the object is hidden.
        """
        c, scenes, pool = self.config.refine, self.scenes, self.scenes.pool
        chance = Chance(scenes.generator)
        wanted = -(-items // c.poses)
        rendered = scenes.scenes(-(-wanted // c.targets))
        seen = observe(rendered, scenes.generator, self.config)
        targets = pick_targets(
            chance, seen.truth, pool, wanted, least_visible=c.least_visible, least_px=c.least_px
        ).repeated(c.poses)
        T_old = perturbed(chance, targets.T_cam_obj, targets.diameter_m)
        T_new = nearest_symmetric(pool, targets.slot, targets.T_cam_obj, T_old)
        trans, rot = update_target(T_old, T_new, targets.diameter_m)
        radius_m = 0.5 * targets.diameter_m
        windows, K_crop = windows_of(T_old, targets.K, targets.diameter_m, self.size_px)
        batch = {
            "rendered": rendered_crops(pool, targets.slot, T_old, K_crop, radius_m, self.size_px),
            "observed": observed_crops(seen, targets.image, windows, T_old, radius_m, self.size_px),
            "trans_target": trans,
            "rot_target": rot.clamp(-1.0, 1.0),
            "weight": targets.weight,
        }
        pool.renew_for(items)
        return {name: value[:items] for name, value in batch.items()}


def update_target(T_old: Tensor, T_new: Tensor, diameter_m: Tensor) -> tuple[Tensor, Tensor]:
    """What RefineNet should answer at ``T_old (n, 4, 4)``; as `kernels.reference.pose_update.update_target`."""
    trans = (T_new[:, :3, 3] - T_old[:, :3, 3]) / (0.5 * diameter_m[:, None])
    rot = log_so3(T_old[:, :3, :3] @ T_new[:, :3, :3].transpose(-1, -2)) / ROT_NORMALIZER_RAD
    return trans, rot
