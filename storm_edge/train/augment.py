"""Free variety for training items, a whole batch at a time on its own device: mirrored and turned cameras, colours.

Mirroring or transposing both crops of a pair is what a mirrored or turned camera would have seen, exactly, when the
two focal lengths of the crop are equal: pixel, xyz and pose update change together. Eight views of every rendered
pair. Pictures and groups are mirrored alone; colour channels are exchanged, for all that shows one object alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from storm_edge.choices import Network
from storm_edge.generator.contract import Batch

_X = 3  # channel of x or of the normal's horizontal part, in crops, images and views


def augment(batch: Batch, network: Network, generator: torch.Generator) -> Batch:
    """A changed copy of a batch; the batch itself stays.

    Args:
        batch: As `generator.contract.Source` says for the network; float32.
        network: Whose batch it is.
        generator: Source of chance, on the batch's device.
    """
    return _AUGMENT[network](batch, generator)


def augment_pairs(batch: Batch, generator: torch.Generator) -> Batch:
    """A changed copy of a batch of pairs.

    Args:
        batch: ``rendered``, ``observed`` ``(N, 6, S, S)`` and, for RefineNet, ``trans_target``, ``rot_target``
            ``(N, 3)``; other entries are passed on.
        generator: Source of chance, on the batch's device.
    """
    n, device = len(batch["rendered"]), batch["rendered"].device
    view = _View(*(torch.rand((3, n), generator=generator, device=device) < 0.5))
    # Colours of the object, the same for both crops; then a little of what the camera does to its own.
    colours = _channel_orders(n, generator, device)
    bend = _uniform(-0.4, 0.4, (n, 1, 1, 1), generator, device)
    gain = _uniform(0.85, 1.15, (n, 3, 1, 1), generator, device) * _uniform(0.8, 1.2, (n, 1, 1, 1), generator, device)
    paleness = _uniform(0.0, 0.4, (n, 1, 1, 1), generator, device)
    out = dict(batch)
    for key in ("rendered", "observed"):
        crop = view.of_crop(batch[key], colours)
        # x + b x (1 - x) keeps black and white, like a gamma of 0.75 to 1.35, at a quarter of its cost.
        crop[:, :3] *= 1.0 + bend - bend * crop[:, :3]
        out[key] = crop
    rgb = out["observed"][:, :3]
    # A scanned model is often more colourful than what a camera makes of the object.
    pale = torch.lerp(rgb, rgb.mean(dim=1, keepdim=True).expand_as(rgb), paleness)
    out["observed"][:, :3] = (pale * gain).clamp(0.0, 1.0)
    if "trans_target" in batch:
        out["trans_target"] = view.of_vector(batch["trans_target"])
        out["rot_target"] = view.of_rotation(batch["rot_target"])
    return out


def augment_sets(batch: Batch, generator: torch.Generator) -> Batch:
    """`augment_pairs` on every pair of sets of hypotheses ``(S, H, 6, 80, 80)``."""
    form = batch["rendered"].shape[:2]
    flat = {key: batch[key].flatten(0, 1) for key in ("rendered", "observed")}
    changed = augment_pairs(flat, generator)
    return {**batch, **{key: value.reshape(*form, *value.shape[1:]) for key, value in changed.items()}}


def augment_queries(batch: Batch, generator: torch.Generator) -> Batch:
    """A changed copy: pictures and views mirrored together, and their colours exchanged together.

    Both keep the object channels true: a mirrored picture has mirrored ones, and how well a colour fits does not
    depend on the order of the channels.
    """
    n, device = len(batch["image"]), batch["image"].device
    mirrored, recoloured = torch.rand((2, n), generator=generator, device=device) < 0.5
    out = dict(batch)
    for key in ("image", "objects", "views", "mask"):
        out[key] = _mirror(batch[key], mirrored)
    sign = 1.0 - 2.0 * mirrored.float()
    out["image"][:, _X] *= sign[:, None, None]
    out["views"][:, :, :, _X] *= sign[:, None, None, None, None]
    colours = _channel_orders(n, generator, device, only=recoloured)
    for key in ("image", "views"):
        _recolour(out[key], colours)
    return out


def augment_groups(batch: Batch, generator: torch.Generator) -> Batch:
    """A changed copy: each group's crops mirrored and their colour channels exchanged, all of a group alike."""
    n, device = len(batch["crops"]), batch["crops"].device
    mirrored, recoloured = torch.rand((2, n), generator=generator, device=device) < 0.5
    crops = _mirror(batch["crops"], mirrored)
    crops[:, :, _X] *= (1.0 - 2.0 * mirrored.float())[:, None, None, None]
    _recolour(crops, _channel_orders(n, generator, device, only=recoloured))
    return {**batch, "crops": crops}


_AUGMENT: dict[Network, Callable[[Batch, torch.Generator], Batch]] = {
    Network.REFINE: augment_pairs,
    Network.SCORE: augment_sets,
    Network.SOM: augment_queries,
    Network.TOM: augment_groups,
}


@dataclass(frozen=True)
class _View:
    """How each camera of a batch is reflected: its u axis, then its v, then both exchanged; each ``(N,)`` bool."""

    mirror_u: Tensor
    mirror_v: Tensor
    transposed: Tensor

    def of_crop(self, crop: Tensor, colours: Tensor) -> Tensor:
        """A crop ``(N, 6, S, S)`` in this view, its colour channels in another order ``(N, 3)``."""
        n, channels, height, _ = crop.shape
        order = torch.cat([colours, 3 + self._axes()], dim=1)
        ordered = crop[torch.arange(n, device=crop.device)[:, None], order]
        place = self._pixels(height, crop.device)[:, None].expand(-1, channels, -1)
        seen = ordered.flatten(2).gather(2, place).reshape(crop.shape)
        seen[:, 3:] *= self._signs().gather(1, self._axes())[:, :, None, None]
        return seen

    def of_vector(self, vector: Tensor) -> Tensor:
        """A vector ``(N, 3)`` in this view."""
        return (vector * self._signs()).gather(1, self._axes())

    def of_rotation(self, rotation: Tensor) -> Tensor:
        """A rotation vector ``(N, 3)`` in this view: under a reflection M it becomes det(M) M r."""
        flips = self.mirror_u.int() + self.mirror_v.int() + self.transposed.int()
        return self.of_vector(rotation) * (1.0 - 2.0 * (flips % 2).float())[:, None]

    def _signs(self) -> Tensor:
        u, v = 1.0 - 2.0 * self.mirror_u.float(), 1.0 - 2.0 * self.mirror_v.float()
        return torch.stack([u, v, torch.ones_like(u)], dim=1)

    def _axes(self) -> Tensor:
        swapped = self.transposed.long()
        return torch.stack([swapped, 1 - swapped, torch.full_like(swapped, 2)], dim=1)

    def _pixels(self, side: int, device: torch.device) -> Tensor:
        """Which pixel of the crop each pixel of the view shows, ``(N, S * S)``."""
        at = torch.arange(side, device=device)
        rows, columns = at[:, None].expand(side, side), at[None, :].expand(side, side)
        swapped = self.transposed[:, None, None]
        row, column = torch.where(swapped, columns, rows), torch.where(swapped, rows, columns)
        row = torch.where(self.mirror_v[:, None, None], side - 1 - row, row)
        column = torch.where(self.mirror_u[:, None, None], side - 1 - column, column)
        return torch.as_tensor(row * side + column).flatten(1)


def _uniform(
    low: float, high: float, shape: tuple[int, ...], generator: torch.Generator, device: torch.device
) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, device=device)


def _channel_orders(
    n: int, generator: torch.Generator, device: torch.device, *, only: Tensor | None = None
) -> Tensor:
    """Orders of three colour channels ``(n, 3)``; the usual one where ``only (n,)`` is False."""
    orders = torch.rand((n, 3), generator=generator, device=device).argsort(dim=1)
    return orders if only is None else torch.where(only[:, None], orders, torch.arange(3, device=device))


def _mirror(x: Tensor, which: Tensor) -> Tensor:
    """A copy of ``(n, ..., W)``, mirrored in its last dimension where ``which (n,)`` says so."""
    return torch.where(which.reshape(-1, *[1] * (x.ndim - 1)), x.flip(-1), x)


def _recolour(x: Tensor, colours: Tensor) -> None:
    """Exchange the first three channels of ``(n, ..., C, H, W)`` in place."""
    order = colours.reshape(len(x), *[1] * (x.ndim - 4), 3, 1, 1)
    x[..., :3, :, :] = x[..., :3, :, :].gather(-3, order.expand_as(x[..., :3, :, :]))
