"""Free variety for pairs of crops: mirrored and turned cameras, and colours.

Mirroring or transposing both crops is what a mirrored or turned camera would have seen, exactly, when the two focal
lengths of the crop are equal: pixel, xyz and pose update change together. Eight views of every rendered pair.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _reflect(images: list[Tensor], vectors: list[Tensor], axials: list[Tensor], which: Tensor, *, kind: str) -> None:
    """Reflect the samples ``which`` in place: ``u``, ``v`` mirror an axis, ``transpose`` swaps the two."""
    index = torch.nonzero(which)[:, 0]
    if len(index) == 0:
        return
    if kind == "transpose":
        order, sign = [1, 0, 2], [1.0, 1.0, 1.0]
    else:
        order, sign = [0, 1, 2], [-1.0, 1.0, 1.0] if kind == "u" else [1.0, -1.0, 1.0]
    for image in images:
        x = image[index]
        x = x.transpose(-1, -2) if kind == "transpose" else x.flip(-1 if kind == "u" else -2)
        xyz = x[:, [3 + o for o in order]] * x.new_tensor(sign)[:, None, None]
        image[index] = torch.cat([x[:, :3], xyz], dim=1)
    for vector in vectors:
        vector[index] = vector[index][:, order] * vector.new_tensor(sign)
    for axial in axials:  # a rotation vector under a reflection M becomes det(M) M r = -M r
        axial[index] = -axial[index][:, order] * axial.new_tensor(sign)


def augment(batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """A changed copy of a batch of pairs.

    Args:
        batch: ``rendered``, ``observed`` ``(N, 6, S, S)`` and, for RefineNet, ``trans_target``, ``rot_target``
            ``(N, 3)``; other entries are passed on.
        generator: Source of chance, on the CPU.
    """
    out = dict(batch)
    for key in ("rendered", "observed", "trans_target", "rot_target"):
        if key in batch:
            out[key] = batch[key].clone()
    n, device = len(out["rendered"]), out["rendered"].device
    images = [out["rendered"], out["observed"]]
    vectors = [out["trans_target"]] if "trans_target" in out else []
    axials = [out["rot_target"]] if "rot_target" in out else []
    for kind in ("u", "v", "transpose"):
        which = torch.rand(n, generator=generator) < 0.5
        _reflect(images, vectors, axials, which.to(device), kind=kind)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return (low + (high - low) * torch.rand(n, *shape, generator=generator)).to(device)

    # Colours of the object, the same for both crops; then a little of what the camera does to its own.
    order = torch.stack([torch.randperm(3, generator=generator) for _ in range(n)]).to(device)
    order = order[:, :, None, None].expand(-1, -1, *images[0].shape[-2:])
    gamma = torch.exp(uniform(-0.3, 0.3, 1, 1, 1))
    for image in images:
        image[:, :3] = image[:, :3].gather(1, order).clamp_min(1e-6).pow(gamma)
    gain = uniform(0.85, 1.15, 3, 1, 1)
    images[1][:, :3] = (images[1][:, :3] * gain).clamp(0.0, 1.0)
    return out
