"""The nano tier: RefineNet and ScoreNet small enough for two CPU cores, with the upstream inputs and outputs.

Both read a pair of crops, ``rendered`` (the model at the hypothesis) and ``observed`` (the camera), normalised as
the upstream networks want them, at 80 px instead of 160. One trunk serves both. It sees the two crops and their
difference at once, since what is asked is how far they are apart, and describes each of 10 x 10 cells.

RefineNet then says for each cell where the visible surface there should move and how far to trust that; the pose
correction is the rigid motion that fits these motions best, in closed form. A small network has only to learn
something local, and it learns it from a hundred cells of every pair. Side by side with a network that regresses the
pose from a flattened map, at equal time on the same 9000 pairs, rotations began to improve where the other did not
move at all.

3x3 convolutions, BatchNorm (folded at export) and ReLU: what ONNX Runtime and TensorRT both run fastest. Training is
`storm_edge.train`, the ONNX files are written by `storm_edge.export.networks`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from storm_edge.networks.nano_blocks import Residual, conv

SIZE_PX = 80
"""Side of the crops [px]."""
ROT_LIMIT_RAD = 0.3490658503988659
"""Largest rotation per component of one update, 20 degrees (reference-networks 5.1)."""
_CELL_PX = 8
_SATURATED = 0.99  # rotations are asked for up to this share of the limit; tanh never reaches all of it
_RIDGE = 1e-3  # [half diameters squared], holds what the cells say nothing about, such as turns about a line of cells


@dataclass(frozen=True, kw_only=True)
class NanoConfig:
    """Widths of a nano network; the defaults cost 38 million multiply-accumulates per pair."""

    stem: int = 24
    """Channels at 40 px."""
    encoder: int = 32
    """Channels at 20 px."""
    cells: int = 64
    """Channels at 10 px, one vector per cell."""
    context: int = 96
    """Channels at 5 px, which tell each cell of the others."""
    features: int = 96
    """Length of the per-pair feature of ScoreNet."""
    heads: int = 4
    """Attention heads over the hypotheses of a set."""


class PairTrunk(nn.Module):
    """A pair of crops to one vector per cell."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        c = config
        self.encoder = nn.Sequential(
            conv(15, c.stem, stride=2), conv(c.stem, c.encoder, stride=2), Residual(c.encoder)
        )
        self.cells = nn.Sequential(conv(c.encoder, c.cells, stride=2), Residual(c.cells))
        self.context = nn.Sequential(
            conv(c.cells, c.context, stride=2), Residual(c.context), nn.Conv2d(c.context, c.cells, 1)
        )
        self.mix = Residual(c.cells)

    def forward(self, rendered: Tensor, observed: Tensor) -> Tensor:
        """Describe the cells of each pair.

        Args:
            rendered: Model at the hypothesis, RGB in [0, 1] and normalised xyz, shape ``(N, 6, 80, 80)``.
            observed: Camera, the same channels and window, shape ``(N, 6, 80, 80)``.

        Returns:
            Maps ``(N, cells, 10, 10)``.
        """
        both = _has_point(rendered) * _has_point(observed)
        difference = (observed[:, 3:] - rendered[:, 3:]) * both
        cells = self.cells(self.encoder(torch.cat([rendered, observed, difference], dim=1)))
        context = F.interpolate(self.context(cells), scale_factor=2.0, mode="nearest")
        return torch.as_tensor(self.mix(cells + context))


class NanoRefineNet(nn.Module):
    """Pose correction of each pair, in the units of the upstream pose update (reference-networks 5.7).

    Applied as ``t += trans * diameter / 2`` and ``R = Exp(tanh(rot) * 0.349)^T R``.
    """

    def __init__(self, config: NanoConfig | None = None) -> None:
        super().__init__()
        self.config = config or NanoConfig()
        self.trunk = PairTrunk(self.config)
        self.motion = nn.Conv2d(self.config.cells, 4, 1)
        # Start near "nothing moves", so that the first fits are no wild poses.
        nn.init.normal_(self.motion.weight, std=0.01)
        nn.init.zeros_(self.motion.bias)  # type: ignore[arg-type]

    def forward(self, rendered: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """``trans (N, 3)`` and ``rot (N, 3)`` before tanh, of pairs ``(N, 6, 80, 80)``."""
        trans, rot, _ = self.forward_with_flow(rendered, observed)
        return trans, torch.atanh(rot.clamp(-_SATURATED, _SATURATED))

    def forward_with_flow(self, rendered: Tensor, observed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the training loss needs.

        Returns:
            ``trans (N, 3)`` [half diameters], ``rot (N, 3)`` after tanh and not limited, and the motion of the
            visible surface in each cell ``(N, 3, 10, 10)`` [half diameters].
        """
        motion = self.motion(self.trunk(rendered, observed))
        flow = motion[:, :3]
        share = F.avg_pool2d(_has_point(rendered), _CELL_PX)
        points = F.avg_pool2d(rendered[:, 3:], _CELL_PX) / share.clamp_min(1e-3)
        weights = F.softplus(motion[:, 3:]) * share
        turn, trans = fit_rigid_motion(points.flatten(2), flow.flatten(2), weights.flatten(2))
        return trans, turn / ROT_LIMIT_RAD, flow


class NanoScoreFeatures(nn.Module):
    """What ScoreNet knows of one hypothesis by itself."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        self.trunk = PairTrunk(config)
        self.hidden = nn.Conv2d(config.cells, config.features, 1)
        self.out = nn.Linear(2 * config.features, config.features)

    def forward(self, rendered: Tensor, observed: Tensor) -> Tensor:
        """Features ``(N, C)`` of pairs ``(N, 6, 80, 80)``: the cells averaged, over the model and over the window."""
        cells = F.relu(self.hidden(self.trunk(rendered, observed)))
        share = F.avg_pool2d(_has_point(rendered), _CELL_PX)
        on_model = (cells * share).sum((2, 3)) / share.sum((2, 3)).clamp_min(1e-3)
        return torch.as_tensor(self.out(torch.cat([on_model, cells.mean((2, 3))], dim=1)))


class NanoScoreAttention(nn.Module):
    """Scores of a set of hypotheses that attend to each other; any count, down to one."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm = nn.LayerNorm(config.features)
        self.qkv = nn.Linear(config.features, 3 * config.features)
        self.mix = nn.Linear(config.features, config.features)
        self.score = nn.Sequential(
            nn.LayerNorm(config.features),
            nn.Linear(config.features, config.features),
            nn.ReLU(inplace=True),
            nn.Linear(config.features, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Score hypotheses.

        Args:
            features: One set ``(N, C)``, or sets of equal size ``(S, N, C)``.

        Returns:
            Scores ``(N,)`` or ``(S, N)``: logits of "within a tenth of the diameter", comparable across sets.
        """
        *lead, n, c = features.shape
        qkv = self.qkv(self.norm(features)).reshape(*lead, n, 3, self.heads, c // self.heads)
        q, k, v = qkv.movedim(-3, 0).transpose(-3, -2)  # each (..., heads, N, C / heads)
        weights = torch.softmax(q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5, dim=-1)
        mixed = (weights @ v).transpose(-3, -2).reshape(*lead, n, c)
        return torch.as_tensor(self.score(features + self.mix(mixed)))[..., 0]


class NanoScoreNet(nn.Module):
    """Features and attention in one module, for training; they are exported apart."""

    def __init__(self, config: NanoConfig | None = None) -> None:
        super().__init__()
        self.config = config or NanoConfig()
        self.features = NanoScoreFeatures(self.config)
        self.attention = NanoScoreAttention(self.config)

    def forward(self, rendered: Tensor, observed: Tensor) -> Tensor:
        """Scores ``(S, H)`` of ``S`` sets of ``H`` pairs, shape ``(S, H, 6, 80, 80)``."""
        sets, hypotheses = rendered.shape[:2]
        features = self.features(rendered.flatten(0, 1), observed.flatten(0, 1))
        return torch.as_tensor(self.attention(features.reshape(sets, hypotheses, -1)))


def fit_rigid_motion(points: Tensor, motions: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The small rigid motion that explains the motions of points best, by weighted least squares.

    Minimises ``sum w |x cross v + t - m|^2``. Measured from the weighted mean of the points the two unknowns part:
    ``t`` is the mean motion there, and ``v`` solves ``sum w (|x|^2 I - x x^T) v = sum w (m cross x)``.

    Args:
        points: ``x``, shape ``(N, 3, M)``.
        motions: ``m``, shape ``(N, 3, M)``.
        weights: ``w >= 0``, shape ``(N, 1, M)``; all zero gives no motion.

    Returns:
        ``v (N, 3)`` [rad], the rotation vector of the upstream update (the points turn by its negative), and
        ``t (N, 3)``, the motion of the origin.
    """
    weights = weights / (weights.sum(2, keepdim=True) + 1e-4)
    mean_point = (weights * points).sum(2, keepdim=True)
    mean_motion = (weights * motions).sum(2, keepdim=True)
    x, m = points - mean_point, motions - mean_motion
    squared = (weights * x * x).sum(2)  # (N, 3)
    xy = (weights[:, 0] * x[:, 0] * x[:, 1]).sum(1)
    xz = (weights[:, 0] * x[:, 0] * x[:, 2]).sum(1)
    yz = (weights[:, 0] * x[:, 1] * x[:, 2]).sum(1)
    diagonal = squared.sum(1, keepdim=True) - squared + _RIDGE
    column_x = torch.stack([diagonal[:, 0], -xy, -xz], dim=1)
    column_y = torch.stack([-xy, diagonal[:, 1], -yz], dim=1)
    column_z = torch.stack([-xz, -yz, diagonal[:, 2]], dim=1)
    right = (weights * _cross(m, x)).sum(2)
    # The inverse of a 3x3 matrix has the cross products of its columns as rows (over the determinant).
    rows = (_cross(column_y, column_z), _cross(column_z, column_x), _cross(column_x, column_y))
    determinant = (column_x * rows[0]).sum(1)
    v = torch.stack([(row * right).sum(1) / determinant for row in rows], dim=1)
    return v, mean_motion[:, :, 0] - _cross(mean_point[:, :, 0], v)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product along dimension 1, in the operations every ONNX runtime has."""
    return torch.stack(
        [
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ],
        dim=1,
    )


def _has_point(crop: Tensor) -> Tensor:
    """1 where a crop ``(N, 6, S, S)`` has a surface point, 0 elsewhere, shape ``(N, 1, S, S)``."""
    return (crop[:, 3:].abs().sum(1, keepdim=True) > 0.0).to(crop.dtype)
