"""The pair of crops that a pose network compares: the model rendered at a pose, and the image around that pose.

`PairInputs` writes the tensors ``rendered`` and ``observed`` of a batch of poses by the rules of an `InputPreset`.
Each tensor is ``(N, 6, S, S)`` float32: RGB in [0, 1], then the camera-frame point of the pixel minus the pose's
translation, in half diameters. RefineNet is given a pair to correct its pose, ScoreNet to judge it, and TOM's
encoder is given ``observed`` alone, for which nothing is rendered. The networks themselves are behind `engines`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.errors import InputError, mismatch
from storm_edge.kernels import crop_window
from storm_edge.kernels.depth import Window
from storm_edge.kernels.device import HostSide, WpArray, thread_span
from storm_edge.kernels.launch_cache import LaunchCache
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.network_input import InputRule, write_observed, write_rendered
from storm_edge.kernels.raster import Visibility
from storm_edge.pipeline.inputs.config import DEFAULT, InputPreset, Network
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers


class PairInputs:
    """Makes the two crops of up to ``batch`` poses; buffers are allocated here, `fill` only launches.

    Args:
        mesh: The object in its centred frame; its device is used.
        diameter_m: Diameter of the object [m].
        preset: The rules.
        network: Which network the crops are for.
        batch: Most poses per `fill`.
        size_px: Side of the crops [px].
        tensors: Arrays to use as ``rendered`` and ``observed``, rows of larger ones for instance; made here if not
            given.

    Attributes:
        rendered: The model at each pose, ``(batch, 6, S, S)`` float32.
        observed: The image around each pose, ``(batch, 6, S, S)`` float32.
        poses: The poses they were made for, ``(batch,)`` mat44f.
        windows: ``(su, tu, sv, tv)`` of the observed crops, ``(batch,)`` vec4f.
        K_crop: Intrinsics of the rendered crops [px], ``(batch,)`` mat33f.
    """

    def __init__(
        self,
        mesh: MeshBuffers,
        *,
        diameter_m: float,
        preset: InputPreset = DEFAULT,
        network: Network = "refine",
        batch: int,
        size_px: int,
        tensors: tuple[WpArray, WpArray] | None = None,
    ) -> None:
        device = mesh.device
        self.mesh = mesh
        self.preset = preset
        self.batch = batch
        self.size_px = size_px
        self._rule = preset.rule(network)
        self._diameter_m = diameter_m
        self._visibility = Visibility(mesh, batch=batch, size_px=(size_px, size_px))
        self._lights = wp.array(np.tile(preset.lighting.packed(), (batch, 1)), dtype=wp.vec4f, device=device)
        self._input_rule: Any = InputRule()
        self._input_rule.radius_m, self._input_rule.min_z_m = 0.5 * diameter_m, self._rule.min_z_m
        self._input_rule.limit, self._input_rule.span = preset.xyz_limit, thread_span(device, size_px)
        self._input_rule.resampled = int(self._rule.resampled)
        self._window_rules: dict[tuple[int, int] | None, Any] = {}
        self._launch_cache = LaunchCache(device)
        self.poses: WpArray = wp.zeros(batch, dtype=wp.mat44f, device=device)
        self._poses_host = HostSide(self.poses)
        self.windows: WpArray = wp.zeros(batch, dtype=wp.vec4f, device=device)
        self.K_crop: WpArray = wp.zeros(batch, dtype=wp.mat33f, device=device)
        shape = (batch, 6, size_px, size_px)
        self.rendered: WpArray
        self.observed: WpArray
        self.rendered, self.observed = tensors or (
            wp.zeros(shape, dtype=wp.float32, device=device),
            wp.zeros(shape, dtype=wp.float32, device=device),
        )

    def fill(
        self, frame: FrameBuffers, T_cam_centre: NDArray[np.floating] | WpArray, count: int | None = None
    ) -> None:
        """Make the crops of the first ``count`` poses (all given when None). Enqueues only.

        Args:
            frame: The image, on the device of the mesh.
            T_cam_centre: Poses of the centred mesh [m] with ``z > 0``: ``(N, 4, 4)`` NumPy, copied to the device; or
                mat44f on the device, read there.
            count: Poses to do, at most ``batch``.

        Raises:
            InputError: More poses than ``batch``.
        """
        count = self._place(frame, T_cam_centre, count)
        self._visibility.launch(self.poses, self.K_crop, self._lights, count)
        rule = self._input_rule
        self._launch_cache.launch(
            write_rendered,
            (count, self.size_px, -(-self.size_px // rule.span)),
            [self._visibility.keys, self.poses, self.K_crop, self._visibility.screen, self.mesh.arrays]
            + [rule, self.rendered],
        )
        self._observe(frame, count)

    def fill_observed(
        self, frame: FrameBuffers, T_cam_centre: NDArray[np.floating] | WpArray, count: int | None = None
    ) -> None:
        """`fill` without the model: ``rendered`` keeps what it had."""
        self._observe(frame, self._place(frame, T_cam_centre, count))

    def _place(self, frame: FrameBuffers, T_cam_centre: NDArray[np.floating] | WpArray, count: int | None) -> int:
        """Take the poses and make their windows; returns how many."""
        count = len(T_cam_centre) if count is None else count
        if not 0 < count <= self.batch:
            raise InputError(mismatch("pose count", count, f"1..{self.batch}", "make the batch of the inputs larger"))
        if isinstance(T_cam_centre, np.ndarray):
            self._poses_host.write(T_cam_centre[:count])
        else:
            wp.copy(self.poses, T_cam_centre, count=count)
        crop_window.launch_windows(
            self.poses,
            frame.K_device,
            rule=self._window_rule(frame.size_px),
            windows=self.windows,
            K_crop=self.K_crop,
            count=count,
            launch_cache=self._launch_cache,
        )
        return count

    def _observe(self, frame: FrameBuffers, count: int) -> None:
        """Write the observed crops of poses whose windows are there."""
        preset, rule = self.preset, self._input_rule
        depth = frame.depth
        if preset.depth_filter is not None:
            window = None if frame.is_filtered(preset.depth_filter) else self._covered_window(frame, count)
            depth = frame.filtered_depth(preset.depth_filter, window)
        self._launch_cache.launch(
            write_observed,
            (count, self.size_px, -(-self.size_px // rule.span)),
            [frame.rgb, depth, frame.K_device, self.windows, self.poses, rule, self.observed],
            changing=(0, 1),
        )

    def _window_rule(self, image_size_px: tuple[int, int]) -> Any:
        """The window rule for images of a size, made when first needed; ours is the same for every size."""
        key = image_size_px if self.preset.upstream_windows else None
        if key not in self._window_rules:
            reach_m = 0.5 * self._diameter_m * self._rule.crop_ratio
            self._window_rules[key] = crop_window.window_rule(
                reach_m=reach_m, size_px=self.size_px, upstream_image_px=key
            )
        return self._window_rules[key]

    def _covered_window(self, frame: FrameBuffers, count: int) -> Window | None:
        """The part of the image that the windows touch; all of it on CUDA, where reading them back would stall."""
        if not self.mesh.device.is_cpu:
            return None
        height, width = frame.size_px
        windows = self.windows.numpy()[:count].astype(np.float64)
        start_u, start_v = windows[:, 1].min(), windows[:, 3].min()
        end_u = (windows[:, 1] + windows[:, 0] * self.size_px).max()
        end_v = (windows[:, 3] + windows[:, 2] * self.size_px).max()
        x0, x1 = (int(np.clip(edge, 0, width - 1)) for edge in (np.floor(start_u), np.ceil(end_u)))
        y0, y1 = (int(np.clip(edge, 0, height - 1)) for edge in (np.floor(start_v), np.ceil(end_v)))
        return x0, y0, x1 - x0 + 1, y1 - y0 + 1
