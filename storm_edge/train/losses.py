"""Losses and held-out figures of RefineNet and ScoreNet. Pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from storm_edge.networks.nano import ROT_LIMIT_RAD

NEAR = 0.1
"""Error [diameters] at which a score is zero: the usual threshold of a right pose."""
SCORE_SLOPE = 0.02
"""Error [diameters] that costs one logit of score."""


def _norm(x: Tensor, dim: int) -> Tensor:
    """Euclidean length; torch defines its gradient at zero as zero."""
    return torch.as_tensor(torch.linalg.vector_norm(x, dim=dim))


def surface_flow(xyz: Tensor, trans: Tensor, rot: Tensor) -> Tensor:
    """Motion of rendered surface points under a pose update, to first order in the angle.

    Args:
        xyz: Camera-frame points relative to the object's centre [half diameters], shape ``(N, 3, H, W)``.
        trans: Translation update [half diameters], shape ``(N, 3)``.
        rot: Rotation update after tanh, in units of `ROT_LIMIT_RAD`, shape ``(N, 3)``.

    Returns:
        ``(Exp(r)^T - I) x + trans``, about ``x cross r + trans``, shape ``(N, 3, H, W)``.
    """
    r = (rot * ROT_LIMIT_RAD)[:, :, None, None].expand_as(xyz)
    return torch.as_tensor(torch.linalg.cross(xyz, r, dim=1)) + trans[:, :, None, None]


def refine_loss(
    trans: Tensor, rot: Tensor, flow: Tensor, batch: dict[str, Tensor], *, flow_weight: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Disentangled translation and rotation errors, and the motion of the visible surface.

    The two errors have one unit: how far a point half a diameter from the centre is off, in half diameters. They
    enter by their length, not its square, so that small corrections are learnt as keenly as large ones.

    Args:
        trans: Predicted translation ``(N, 3)``.
        rot: Predicted rotation after tanh ``(N, 3)``.
        flow: Predicted surface motion ``(N, 3, h, w)``.
        batch: ``rendered``, ``trans_target``, ``rot_target`` and, if present, ``weight (N,)``.
        flow_weight: Weight of the surface motion.

    Returns:
        Loss (scalar) and its parts, detached.
    """
    weight = batch.get("weight", torch.ones_like(trans[:, 0]))
    trans_error = _norm(trans - batch["trans_target"], 1)
    rot_error = ROT_LIMIT_RAD * _norm(rot - batch["rot_target"], 1)
    xyz = batch["rendered"][:, 3:]
    on_surface = (xyz != 0.0).any(1, keepdim=True).to(xyz.dtype)
    cell = xyz.shape[-1] // flow.shape[-1]
    share = F.avg_pool2d(on_surface, cell)
    target = surface_flow(xyz, batch["trans_target"], batch["rot_target"]) * on_surface
    mean_flow = F.avg_pool2d(target, cell) / share.clamp_min(1e-3)
    flow_error = (_norm(flow - mean_flow, 1) * share[:, 0]).sum((1, 2)) / share.sum((1, 2, 3)).clamp_min(1e-3)
    loss = (weight * (trans_error + rot_error + flow_weight * flow_error)).mean()
    return loss, {
        "trans": trans_error.mean().detach(),
        "rot": rot_error.mean().detach(),
        "flow": flow_error.mean().detach(),
    }


def refine_figures(trans: Tensor, rot: Tensor, batch: dict[str, Tensor]) -> dict[str, float]:
    """Held-out figures of one refinement: errors before and after, [deg] and [% of the diameter].

    Pairs that start within 8 degrees and 5 % are reported apart as ``track_``, the others as ``far_``.
    """
    degree = torch.rad2deg(torch.tensor(ROT_LIMIT_RAD)).item()
    rot_before = degree * _norm(batch["rot_target"], 1)
    rot_after = degree * _norm(rot - batch["rot_target"], 1)
    trans_before = 50.0 * _norm(batch["trans_target"], 1)
    trans_after = 50.0 * _norm(trans - batch["trans_target"], 1)
    near = (rot_before < 8.0) & (trans_before < 5.0)
    figures: dict[str, float] = {}
    for name, chosen in (("track", near), ("far", ~near)):
        if not bool(chosen.any()):
            continue
        for what, value in (
            ("rot_before_deg", rot_before),
            ("rot_after_deg", rot_after),
            ("trans_before_pct", trans_before),
            ("trans_after_pct", trans_after),
        ):
            figures[f"{name}_{what}"] = float(value[chosen].mean())
    return figures


def score_target(error: Tensor) -> Tensor:
    """The score an error [diameters] should get: 0 at a tenth, one less for every fiftieth more."""
    return (NEAR - error) / SCORE_SLOPE


def score_loss(score: Tensor, error: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Is each hypothesis right, and which of its set is best: two questions with one consistent answer.

    Args:
        score: Predicted logits ``(S, H)``.
        error: ADD-S-like errors [diameters] ``(S, H)``.

    Returns:
        Loss (scalar) and its parts, detached. The best score for both parts is `score_target`.
    """
    target = score_target(error)
    absolute = F.binary_cross_entropy_with_logits(score, torch.sigmoid(target))
    ranking = torch.sum(
        torch.softmax(target, -1) * (torch.log_softmax(target, -1) - torch.log_softmax(score, -1)), -1
    ).mean()
    return absolute + ranking, {"absolute": absolute.detach(), "ranking": ranking.detach()}


def score_figures(score: Tensor, error: Tensor) -> dict[str, float]:
    """Held-out figures of sets ``(S, H)``: regret of the winner [% of the diameter], order and yes/no accuracy."""
    chosen = error.gather(1, score.argmax(1, keepdim=True))[:, 0]
    best = error.min(1).values
    apart = (error[:, :, None] - error[:, None, :]) > 0.02
    ordered = (score[:, :, None] < score[:, None, :])[apart].float().mean()
    return {
        "regret_pct": float((chosen - best).mean()) * 100.0,
        "winner_near": float((chosen < NEAR).float().mean()),
        "best_near": float((best < NEAR).float().mean()),
        "ordered": float(ordered),
        "near_accuracy": float(((score > 0.0) == (error < NEAR)).float().mean()),
    }
