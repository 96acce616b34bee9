"""Mirrored and turned cameras: pixels, points and pose updates must change together."""

from __future__ import annotations

import torch

from storm_edge.train.augment import augment_pairs
from storm_edge.train.losses import surface_flow
from tests.train.toy import ToySource


def _batch(count: int) -> dict[str, torch.Tensor]:
    batch = ToySource(3, torch.device("cpu")).batch(count)
    batch["rendered"][:, :, :10, :30] = 0.0  # background in one corner, so that no mirror image is the same
    return batch


def test_the_motion_of_the_surface_is_mirrored_with_the_picture() -> None:
    """The flow is put in place of the observed points; mirroring it must equal the flow of what was mirrored."""
    batch = _batch(24)
    flow = surface_flow(batch["rendered"][:, 3:], batch["trans_target"], batch["rot_target"])
    batch["observed"] = torch.cat([batch["observed"][:, :3], flow], dim=1)
    changed = augment_pairs(batch, torch.Generator().manual_seed(0))
    expected = surface_flow(changed["rendered"][:, 3:], changed["trans_target"], changed["rot_target"])
    torch.testing.assert_close(changed["observed"][:, 3:], expected, atol=1e-6, rtol=0.0)


def test_all_eight_views_come_up_and_the_batch_itself_stays() -> None:
    batch = _batch(64)
    before = {k: v.clone() for k, v in batch.items()}
    changed = augment_pairs(batch, torch.Generator().manual_seed(0))
    hidden = changed["rendered"][:, 5] == 0.0
    assert len({tuple(h.flatten().tolist()) for h in hidden}) == 8
    for key, value in before.items():
        assert torch.equal(batch[key], value)


def test_background_stays_black_and_colours_stay_in_range() -> None:
    changed = augment_pairs(_batch(16), torch.Generator().manual_seed(0))
    background = (changed["rendered"][:, 3:] == 0.0).all(1)
    assert changed["rendered"][:, :3].movedim(1, -1)[background].max() < 1e-3
    for key in ("rendered", "observed"):
        assert changed[key][:, :3].min() >= 0.0
        assert changed[key][:, :3].max() <= 1.0
