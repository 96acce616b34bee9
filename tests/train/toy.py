"""Items that are drawn in no time and whose answer lies open: a curved patch, moved."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from storm_edge.choices import Network
from storm_edge.generator.config import GeneratorConfig, ScoreSetConfig
from storm_edge.generator.contract import Batch
from storm_edge.networks.nano import ROT_LIMIT_RAD, SIZE_PX, NanoConfig
from storm_edge.train.sources import SourceFactory

TINY = NanoConfig(stem=4, encoder=8, cells=8, context=8, features=8)
SETS_OF_FOUR = GeneratorConfig(score=ScoreSetConfig(hypotheses=4))


class ToySource:
    """A `Source` of RefineNet: the same patch everywhere, observed after the motion that the targets describe."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._chance = torch.Generator().manual_seed(seed)
        self._device = device

    def batch(self, items: int) -> Batch:
        trans = torch.rand((items, 3), generator=self._chance) - 0.5
        rot = (torch.rand((items, 3), generator=self._chance) - 0.5) * 1.8
        at = (torch.arange(SIZE_PX) - (SIZE_PX - 1) / 2) / SIZE_PX
        v, u = torch.meshgrid(at, at, indexing="ij")
        xyz = torch.stack([u, v, 0.3 * torch.cos(3.0 * u + v)]).expand(items, -1, -1, -1)
        turn = (rot * ROT_LIMIT_RAD)[:, :, None, None].expand_as(xyz)
        observed = xyz + torch.linalg.cross(xyz, turn, dim=1) + trans[:, :, None, None]
        colour = torch.full((items, 3, SIZE_PX, SIZE_PX), 0.5)
        batch = {
            "rendered": torch.cat([colour, xyz], dim=1),
            "observed": torch.cat([colour, observed], dim=1),
            "trans_target": trans,
            "rot_target": rot,
        }
        return {key: value.to(self._device) for key, value in batch.items()}


class ToySets(ToySource):
    """A `Source` of ScoreNet: sets of four such pairs."""

    def batch(self, items: int) -> Batch:
        batch = super().batch(4 * items)
        error = torch.linalg.vector_norm(batch["trans_target"], dim=1) / 2.0
        return {
            "rendered": batch["rendered"].unflatten(0, (items, 4)),
            "observed": batch["observed"].unflatten(0, (items, 4)),
            "add_error": error.reshape(items, 4),
        }


class ToyPictures:
    """A `Source` of the segmenter: one square to find, one object that is not there."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._chance, self._device = torch.Generator().manual_seed(seed), device

    def batch(self, items: int) -> Batch:
        def noise(*shape: int) -> torch.Tensor:
            return torch.rand((items, *shape), generator=self._chance)

        mask = torch.zeros(items, 2, 60, 80)
        mask[:, 0, 20:40, 30:50] = 1.0
        batch = {
            "image": noise(8, 120, 160),
            "objects": noise(2, 5, 60, 80),
            "views": noise(2, 16, 8, 32, 32),
            "mask": mask,
            "present": torch.tensor([[1.0, 0.0]]).expand(items, 2),
        }
        return {key: value.to(self._device) for key, value in batch.items()}


class ToyGroups(ToyPictures):
    """A `Source` of the verifier: bright crops are good."""

    def batch(self, items: int) -> Batch:
        good = torch.cat([torch.ones(items, 4), torch.zeros(items, 4)], dim=1)
        crops = 0.5 * torch.rand((items, 8, 6, 80, 80), generator=self._chance)
        crops[:, :4, :3] += 0.5
        return {"crops": crops.to(self._device), "good": good.to(self._device)}


def toy_source_of(network: Network) -> SourceFactory:
    """The toy source of each network."""
    sources: dict[Network, SourceFactory] = {
        Network.REFINE: ToySource,
        Network.SCORE: ToySets,
        Network.SOM: ToyPictures,
        Network.TOM: ToyGroups,
    }
    return sources[network]


def train_here(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    """Run the command that trains RefineNet, on toy pairs and narrow; returns its exit status.

    A process of its own takes seconds to import what this one has: it is for tests that kill it.
    """
    from storm_edge.cli import main
    from storm_edge.train import config, run

    narrow = partial(config.TrainConfig, nano=TINY, pool=32, fill=16, held_out=16)
    monkeypatch.setattr(config, "TrainConfig", narrow)
    monkeypatch.setattr(run, "source_of", lambda network, config: ToySource)
    with pytest.raises(SystemExit) as ended:
        main.run(["train", "refine", "--batch", "4", *options])
    assert isinstance(ended.value.code, int)
    return ended.value.code


class BrokenSource(ToySource):
    """Fails at the second batch."""

    def __init__(self, seed: int, device: torch.device) -> None:
        super().__init__(seed, device)
        self._count = 0

    def batch(self, items: int) -> Batch:
        self._count += 1
        if self._count > 1:
            raise ValueError("the sampler has a bug")
        return super().batch(items)
