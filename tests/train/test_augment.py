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


def test_what_the_camera_sees_is_paler_and_of_another_brightness_than_the_model() -> None:
    """Both crops are of one colour, which no mirror image changes; a grey one is only tinted, by 15 % at most. Seen:
    0.75 of the contrast, 0.74 to 1.27 of the brightness."""
    batch = _batch(200)
    for key in ("rendered", "observed"):
        batch[key][:, :3] = torch.tensor([0.6, 0.3, 0.15])[:, None, None]
    changed = augment_pairs(batch, torch.Generator().manual_seed(0))
    model, seen = (changed[key][:, :3, 40, 40].sort(dim=1).values for key in ("rendered", "observed"))
    contrast = (seen[:, 2] / seen[:, 0]) / (model[:, 2] / model[:, 0])
    assert float(contrast.mean()) < 0.8
    brightness = seen.sum(dim=1) / model.sum(dim=1)
    assert float(brightness.min()) < 0.85
    assert float(brightness.max()) > 1.15
    for key in ("rendered", "observed"):
        batch[key][:, :3] = 0.3
    grey = augment_pairs(batch, torch.Generator().manual_seed(0))["observed"][:, :3, 40, 40]
    assert float((grey.max(dim=1).values / grey.min(dim=1).values).max()) <= 1.15 / 0.85 + 1e-5
