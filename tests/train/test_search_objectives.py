"""Losses, figures and variety of the segmenter and the verifier, on made-up batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from storm_edge.choices import Network
from storm_edge.train.augment import augment_groups, augment_queries
from storm_edge.train.config import TrainConfig
from storm_edge.train.run import train
from storm_edge.train.som import auroc, som_figures, som_loss
from storm_edge.train.tom import TomObjective
from tests.train.toy import TINY


def _queries(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    mask = np.zeros((n, 2, 60, 80), dtype=np.float32)
    mask[:, 0, 20:40, 30:50] = 1.0
    return {
        "image": rng.random((n, 8, 120, 160), dtype=np.float32),
        "objects": rng.random((n, 2, 5, 60, 80), dtype=np.float32),
        "views": rng.random((n, 2, 4, 8, 32, 32), dtype=np.float32),
        "mask": mask,
        "present": np.tile(np.array([1.0, 0.0], dtype=np.float32), (n, 1)),
    }


class _Queries:
    def __init__(self, seed: int, device: torch.device) -> None:
        self._rng = np.random.default_rng(seed)

    def batch(self, items: int) -> dict[str, torch.Tensor]:
        return _tensors(_queries(items, self._rng))


def _tensors(batch: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(value) for key, value in batch.items()}


def test_the_right_answer_costs_nothing(rng: np.random.Generator) -> None:
    batch = _tensors(_queries(3, rng))
    right = (batch["mask"] - 0.5) * 40.0, (batch["present"] - 0.5) * 40.0
    loss, _ = som_loss(*right, batch)
    assert float(loss) < 1e-3
    figures = som_figures(*right, batch)
    assert figures["iou"] == 1.0
    assert figures["presence_auroc"] == 1.0
    wrong, _ = som_loss(-right[0], -right[1], batch)
    assert float(wrong) > 10.0


def test_auroc_counts_pairs() -> None:
    """Right 2 and 1 against wrong 1 and 0: 2 > 1, 2 > 0, 1 = 1, 1 > 0 is 3.5 of 4."""
    assert auroc(torch.tensor([2.0, 1.0]), torch.tensor([1.0, 0.0])) == pytest.approx(0.875)


def test_pictures_masks_and_views_are_mirrored_and_recoloured_together(rng: np.random.Generator) -> None:
    batch = _tensors(_queries(8, rng))
    changed = augment_queries(batch, torch.Generator().manual_seed(0))
    mirrored = recoloured = 0
    for i in range(8):
        flip = torch.equal(changed["objects"][i], batch["objects"][i].flip(-1))
        mirrored += flip
        back = {k: v[i].flip(-1) if flip and k != "present" else v[i] for k, v in changed.items()}
        torch.testing.assert_close(back["mask"], batch["mask"][i])
        torch.testing.assert_close(back["image"][3], batch["image"][i, 3] * (-1.0 if flip else 1.0))
        torch.testing.assert_close(back["views"][:, :, 3], batch["views"][i, :, :, 3] * (-1.0 if flip else 1.0))
        order = [
            int(np.argmin([float((c - o).abs().sum()) for o in batch["image"][i, :3]])) for c in back["image"][:3]
        ]
        recoloured += order != [0, 1, 2]
        torch.testing.assert_close(back["views"][:, :, :3], batch["views"][i][:, :, order])
    assert 0 < mirrored < 8
    assert recoloured > 0


def test_tom_asks_only_about_good_memories() -> None:
    """With one good crop alone there is nobody to compare it with but the bad ones; their content must not matter."""
    torch.manual_seed(0)
    objective = TomObjective(TrainConfig(network=Network.TOM, out=Path()).tom).eval()
    crops = torch.rand(1, 4, 6, 80, 80)
    good = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    figures = objective.figures({"crops": crops.repeat(2, 2, 1, 1, 1), "good": good.repeat(2, 2)})
    assert set(figures) == {"pair_auroc", "memory_auroc", "accuracy"}
    loss, _ = objective({"crops": crops, "good": good})
    assert torch.isfinite(loss)


def test_groups_are_changed_as_one() -> None:
    crops = torch.rand(1, 1, 6, 80, 80).repeat(6, 4, 1, 1, 1)
    out = augment_groups({"crops": crops, "good": torch.ones(6, 4)}, torch.Generator().manual_seed(3))["crops"]
    for group in out:
        torch.testing.assert_close(group, group[:1].expand_as(group))
    assert not torch.equal(out, crops)


def test_a_run_of_two_steps_leaves_a_checkpoint_that_resumes(tmp_path: Path) -> None:
    config = TrainConfig(
        network=Network.SOM, out=tmp_path, steps=2, batch=4, threads=1, workers=0, chunk=4, pool=8, fill=4,
        held_out=4, warmup_steps=1, nano=TINY,
    )  # fmt: skip
    first = train(config, source=_Queries, held_out=_Queries)
    assert first.steps == 2
    assert 0.0 <= first.held_out["iou"] <= 1.0
    again = TrainConfig(**{**vars(config), "steps": 3, "resume": True})
    assert train(again, source=_Queries, held_out=_Queries).steps == 3
