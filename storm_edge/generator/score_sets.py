"""Sets of hypotheses for ScoreNet: one observation, several poses, and how far each is from the truth.

Some hypotheses have no truth: what is seen there is another object (`generator.lookalikes`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from storm_edge.generator.chance import Chance
from storm_edge.generator.config import GeneratorConfig
from storm_edge.generator.contract import Batch
from storm_edge.generator.crops import SIZE_PX, observed_crops, rendered_crops, windows_of
from storm_edge.generator.lookalikes import Pairs, with_lookalikes, with_twins
from storm_edge.generator.mesh_pool import MeshPool
from storm_edge.generator.observe import observe
from storm_edge.generator.scenes import SceneGenerator
from storm_edge.generator.symmetry import nearest_symmetric
from storm_edge.generator.targets import pick_targets
from storm_edge.generator.wrong_poses import hypotheses


class ScoreSets:
    """An endless, seeded stream of sets.

    Args:
        seed: Seed of the stream; from `EVALUATION_FROM` on the objects are those of evaluation.
        device: ``cpu``, ``cuda`` or ``cuda:i``.
        config: What pictures and sets are like.
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
        """``items`` sets; see `contract.Source`. ``weight (n,)`` is lower where much of the object is hidden."""
        c, scenes, pool = self.config.score, self.scenes, self.scenes.pool
        chance = Chance(scenes.generator)
        seen = observe(scenes.scenes(-(-items // c.targets)), scenes.generator, self.config)
        targets = pick_targets(chance, seen.truth, pool, items, least_visible=c.least_visible, least_px=c.least_px)
        T = hypotheses(chance, targets.T_cam_obj, targets.diameter_m, c.hypotheses).flatten(0, 1)
        all_poses = targets.repeated(c.hypotheses)
        radius_m = 0.5 * all_poses.diameter_m
        windows, K_crop = windows_of(T, all_poses.K, all_poses.diameter_m, self.size_px)
        rendered = rendered_crops(pool, all_poses.slot, T, K_crop, radius_m, self.size_px)
        observed = observed_crops(seen, all_poses.image, windows, T, radius_m, self.size_px)
        error = pose_errors(pool, all_poses.slot, all_poses.T_cam_obj, T)
        pairs = with_twins(chance, Pairs(rendered=rendered, observed=observed, error=error), c.twin_share)
        # What the next set observes, unless that is of the same object.
        own = torch.arange(len(error), device=error.device)
        others = own.roll(-c.hypotheses)
        others = torch.where(all_poses.slot != all_poses.slot[others], others, own)
        pairs = with_lookalikes(chance, pairs, others, c.lookalike_share)
        pool.renew_for(4 * items)
        shape = (items, c.hypotheses)
        return {
            "rendered": pairs.rendered.view(*shape, *rendered.shape[1:]),
            "observed": pairs.observed.view(*shape, *observed.shape[1:]),
            "add_error": pairs.error.view(shape),
            "weight": targets.weight,
        }


def pose_errors(pool: MeshPool, slot: Tensor, T_true: Tensor, T: Tensor) -> Tensor:
    """Mean distance of surface points between poses ``T (n, 4, 4)`` and the right ones, in diameters ``(n,)``.

    Of the poses that look like the true one that which is turned least from ``T`` is taken: another may be nearer in
    distance, but only where both are far off.
    """
    nearest = nearest_symmetric(pool, slot, T_true, T)
    points = pool.samples[slot]
    apart = points @ (T[:, :3, :3] - nearest[:, :3, :3]).transpose(-1, -2)
    apart = apart + (T[:, :3, 3] - nearest[:, :3, 3])[:, None]
    mean_m: Tensor = apart.norm(dim=-1).mean(dim=-1)
    return mean_m / pool.diameter_m[slot]
