"""Targets undo the wrong poses by the upstream rule, and batches are what their contract says."""

from __future__ import annotations

import numpy as np
import torch

from storm_edge.choices import Network
from storm_edge.generator.chance import Chance
from storm_edge.generator.config import GeneratorConfig
from storm_edge.generator.motions import rigid
from storm_edge.generator.refine_pairs import update_target
from storm_edge.generator.sources import make_source
from storm_edge.generator.wrong_poses import perturbed
from storm_edge.geometry.se3 import rotation_angle
from storm_edge.kernels.reference import pose_update


def test_targets_are_those_of_the_reference() -> None:
    chance = Chance(torch.Generator().manual_seed(3))
    T_new = rigid(chance.rotations((30,)), chance.normal((30, 3)) * 0.1 + torch.tensor([0.0, 0.0, 1.0]))
    d = chance.uniform((30,), 0.05, 0.3)
    T_old = perturbed(chance, T_new, d)
    trans, rot = update_target(T_old, T_new, d)
    for n in range(30):
        old, new = T_old[n].double().numpy(), T_new[n].double().numpy()
        expected = pose_update.update_target(old, new, diameter_m=float(d[n]))
        np.testing.assert_allclose(trans[n].numpy(), expected[0], atol=2e-5)
        np.testing.assert_allclose(rot[n].numpy(), expected[1], atol=2e-5)


def test_wrong_poses_reach_from_nearly_right_to_far_off() -> None:
    chance = Chance(torch.Generator().manual_seed(4))
    T = rigid(chance.rotations((2000,)), torch.tensor([0.0, 0.0, 0.6]).repeat(2000, 1))
    wrong = perturbed(chance, T, torch.full((2000,), 0.2))
    angle = np.rad2deg(rotation_angle(wrong[:, :3, :3].numpy(), T[:, :3, :3].numpy()))
    assert angle.max() < 36.0
    assert np.quantile(angle, 0.1) < 3.0
    assert np.quantile(angle, 0.9) > 25.0
    assert float((wrong[:, 2, 3] < 0.1).sum()) == 0
    # A good part turns about one of the object's own axes: in its frame that axis stays.
    turn = T[:, :3, :3].transpose(-1, -2) @ wrong[:, :3, :3]
    kept = (turn.diagonal(dim1=-2, dim2=-1) > 1.0 - 1e-6).any(dim=-1).numpy() & (angle > 5.0)
    assert 0.12 < kept.mean() < 0.3


def test_pairs_have_their_shapes_and_ranges(small_config: GeneratorConfig) -> None:
    source = make_source(Network.REFINE, seed=5, device="cpu", config=small_config)
    batch = source.batch(10)
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "rendered": (10, 6, 80, 80),
        "observed": (10, 6, 80, 80),
        "trans_target": (10, 3),
        "rot_target": (10, 3),
        "weight": (10,),
    }
    assert all(value.dtype == torch.float32 and bool(value.isfinite().all()) for value in batch.values())
    assert float(batch["rot_target"].abs().max()) <= 1.0
    assert 0.5 <= float(batch["weight"].max()) <= 1.0
    for name in ("rendered", "observed"):
        assert 0.0 <= float(batch[name][:, :3].min()) <= float(batch[name][:, :3].max()) <= 1.0
        assert float(batch[name][:, 3:].abs().max()) < 2.0
        assert bool((batch[name][:, 3:] != 0).flatten(1).any(dim=1).all())


def test_one_seed_gives_one_stream(small_config: GeneratorConfig) -> None:
    first = make_source(Network.REFINE, seed=5, device="cpu", config=small_config)
    again = make_source(Network.REFINE, seed=5, device="cpu", config=small_config)
    for _ in range(2):
        a, b = first.batch(6), again.batch(6)
        assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(first.batch(6)["observed"], a["observed"])
