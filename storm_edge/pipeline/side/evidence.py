"""What speaks for each of several poses of one object: pixel by pixel, in one small window that they share.

Inside the outline a pixel counts against a pose where its colour is not that of this part of the model, and most of
all where the model should hide the background and does not (a handle over a table that is measured farther). Outside
it does where there is a surface at the object's depth that has the object's colours: that should have been covered.
The terms are the same for all poses, so that their difference tells which pose is right.

Colours are compared after a gain per channel, which light and camera may change, and after the shading that a light
from a side makes (`pipeline.side.shading`). So brightness counts beside hue, and a dark red part is told from a
bright red one of the same object, but a face that is turned from the light is not taken for a dark one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.kernels.contour_region import colour_bins
from storm_edge.kernels.depth_noise import depth_limits
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.pipeline.side.config import SideEvidenceConfig
from storm_edge.pipeline.side.shading import colour_distances, rendered_normals
from storm_edge.pipeline.side.window import SideWindow, WindowRenderer

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class SideTerms:
    """What the window says of each of N poses, in shares of their mean silhouette, ``(N,)`` each; less is better."""

    through: Float64
    """Parts of the model in front of a surface that is measured farther, and has not the object's colours."""
    veiled: Float64
    """The same where what is seen has the object's colours: a thin part whose depth the camera smoothed away, or
    another part of the object behind it."""
    outside: Float64
    """Surface of the object's colours and at its depth beyond the outline."""
    texture: Float64
    """Colours there that are not those of this part of the model, after gain and shading."""
    hidden: Float64
    """Parts of the model that something nearer hides."""


class SideEvidence:
    """Measures what speaks for poses of one object; buffers are made here.

    Args:
        mesh: The object in its centred frame.
        diameter_m: Its diameter [m].
        config: What pixels cost.
        batch: Most poses per call.
    """

    def __init__(self, mesh: MeshBuffers, diameter_m: float, config: SideEvidenceConfig, batch: int) -> None:
        self._config, self._diameter_m = config, diameter_m
        self._renderer = WindowRenderer(mesh, diameter_m, config, batch)

    def terms(self, frame: Frame, T_cam_centre: Float64, colour_log_odds: Float32 | None) -> SideTerms:
        """What a frame costs poses ``(N, 4, 4)``, of which the first is in the middle of the window.

        Args:
            frame: The image.
            T_cam_centre: Poses of the centred mesh [m], at most ``batch``.
            colour_log_odds: What is learned of the object's colours, `AppearanceModel.log_odds`; without it a surface
                outside the outline counts half. One for all ``(BIN_COUNT,)`` or one per pose ``(N, BIN_COUNT)``.
        """
        window = self._renderer.window(frame, T_cam_centre[0])
        depth, colour = self._renderer.render(window, T_cam_centre)
        z_m = float(T_cam_centre[0, 2, 3])
        return pixel_terms(window, depth, colour, z_m, self._diameter_m, colour_log_odds, self._config)


def pixel_terms(
    window: SideWindow,
    model_m: Float32,
    model_rgb: Float32,
    z_m: float,
    diameter_m: float,
    colour_log_odds: Float32 | None,
    config: SideEvidenceConfig,
) -> SideTerms:
    """Costs of N rendered poses.

    Args:
        window: What was seen.
        model_m: Depth of the model at each pose [m] ``(N, S, S)``, 0 where it is not.
        model_rgb: Its colours in [0, 1] ``(N, S, S, 3)``.
        z_m: Distance of the object [m].
        diameter_m: Of the object [m].
        colour_log_odds: As for `SideEvidence.costs`.
        config: What pixels cost.
    """
    z = window.depth_m
    gate_m = max(config.depth_gate * diameter_m, config.min_depth_gate_m)
    limit_m = depth_limits(gate_m, config.depth_noise_per_m, z_m)
    silhouette = (model_m > 0.0) & window.in_image
    read = z > 0.0
    apart = np.where(silhouette & read, z - model_m, 0.0) / limit_m
    hidden, through = apart < -1.0, apart > 1.0
    agrees = silhouette & ~hidden & ~through
    likely = (
        np.full(z.shape, np.float32(0.5))
        if colour_log_odds is None
        else colour_likelihood(window.rgb, colour_log_odds)
    )
    near = read & (np.abs(z - z_m) < 0.5 * diameter_m)  # fixed: within the bounding sphere
    normals = rendered_normals(model_m, window.K)
    distances = colour_distances(window.rgb, model_rgb, normals, agrees, config)
    unlike = np.minimum(distances / config.colour_deviation, 1.0) ** 2
    area = max(float(silhouette.sum()) / len(model_m), 1.0)

    def share(cost: NDArray[Any]) -> Float64:
        return np.asarray(cost.sum(axis=(1, 2), dtype=np.float64) / area)

    return SideTerms(
        through=share(through * (1.0 - likely)),
        veiled=share(through * likely),
        outside=share(~silhouette * np.where(near, likely, 0.0)),
        texture=share(agrees * unlike),
        hidden=share(hidden),
    )


def colour_likelihood(rgb: Float32, colour_log_odds: Float32) -> Float32:
    """Probability that colours ``(S, S, 3)`` are the object's, ``(S, S)``, or ``(N, S, S)`` with odds per pose."""
    odds = colour_log_odds[..., colour_bins((rgb * 255.0).astype(np.uint8))]
    return np.asarray(1.0 / (1.0 + np.exp(-odds)), dtype=np.float32)
