"""Rigid motions in torch agree with those in NumPy."""

from __future__ import annotations

import numpy as np
import torch

from storm_edge.generator.chance import Chance
from storm_edge.generator.motions import about_z, exp_so3, frame_of, inverse, log_so3, rigid
from storm_edge.geometry import se3


def test_rotations_of_vectors_and_back(rng: np.random.Generator) -> None:
    w = rng.normal(0.0, 1.0, (200, 3))
    w *= (rng.uniform(0.0, np.pi - 1e-4, 200) / np.linalg.norm(w, axis=1))[:, None]
    w[0], w[1] = 0.0, [np.pi - 1e-6, 0.0, 0.0]
    R = exp_so3(torch.from_numpy(w))
    np.testing.assert_allclose(R.numpy(), se3.exp_so3(w), atol=1e-9)
    np.testing.assert_allclose(log_so3(R).numpy(), w, atol=2e-6)


def test_motions_undo_themselves() -> None:
    chance = Chance(torch.Generator().manual_seed(1))
    T = rigid(chance.rotations((7,)), chance.normal((7, 3)))
    torch.testing.assert_close(T @ inverse(T), torch.eye(4).expand(7, 4, 4), atol=1e-5, rtol=0.0)


def test_frames_and_turns_are_rotations() -> None:
    chance = Chance(torch.Generator().manual_seed(2))
    z = chance.directions((50,))
    for R in (chance.rotations((50,)), frame_of(z, chance.uniform((50,), 0.0, 6.0)), about_z(chance.unit((50,)))):
        torch.testing.assert_close(R @ R.transpose(-1, -2), torch.eye(3).expand_as(R), atol=1e-5, rtol=0.0)
        torch.testing.assert_close(torch.linalg.det(R), torch.ones(50), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(frame_of(z, torch.zeros(50))[..., 2], z)
