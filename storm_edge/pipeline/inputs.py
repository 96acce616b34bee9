"""What goes into the pose networks: the image on the device, where to look, and the pair of pictures to compare.

`FrameBuffers` holds one RGB-D image on the device. `PairInputs` makes the tensors ``rendered`` and ``observed`` of a
batch of poses, by the rules of an `InputPreset`: `DEFAULT` is ours (one window for both pictures), `PARITY` repeats
FoundationPose's rules to the half pixel, for networks with its weights. Register and track call both; the networks
themselves are behind `engines`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.errors import FrameError, InputError, mismatch
from storm_edge.frame import Frame
from storm_edge.kernels import crop_window
from storm_edge.kernels.depth import UPSTREAM_FILTER, DepthFilter, DepthFilterBuffers, Window
from storm_edge.kernels.device import Device, HostSide, WpArray, ZeroCopyView, require_device, thread_span
from storm_edge.kernels.image_descriptor import ImageDescriptor
from storm_edge.kernels.launch_cache import LaunchCache
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.network_input import write_observed, write_rendered
from storm_edge.kernels.raster import Lighting, Visibility

Float64 = NDArray[np.float64]

Network = Literal["refine", "score"]


@dataclass(frozen=True, kw_only=True)
class PairRule:
    """What differs between the networks."""

    crop_ratio: float
    """Side of the crop window at the object's distance, in diameters."""
    min_z_m: float
    """Points nearer than this are none [m]."""


@dataclass(frozen=True, kw_only=True)
class InputPreset:
    """How the pictures are made."""

    refine: PairRule
    """Pictures of RefineNet."""
    score: PairRule
    """Pictures of ScoreNet."""
    upstream_windows: bool
    """Window rule: upstream's, or one window for both pictures (see `kernels.crop_window`)."""
    depth_filter: DepthFilter | None
    """Filter of the observed depth, None for none."""
    lighting: Lighting = field(default_factory=Lighting)
    """Light on the rendered model."""
    xyz_limit: float = 2.0
    """A coordinate of this size or more [half diameters] becomes 0."""

    def rule(self, network: Network) -> PairRule:
        """The rule of one network."""
        return self.refine if network == "refine" else self.score


PARITY = InputPreset(
    refine=PairRule(crop_ratio=1.2, min_z_m=0.001),
    score=PairRule(crop_ratio=1.1, min_z_m=0.1),
    upstream_windows=True,
    depth_filter=UPSTREAM_FILTER,
)
"""FoundationPose's rules (reference-networks 5.4 to 5.7)."""

DEFAULT = InputPreset(
    refine=PairRule(crop_ratio=1.2, min_z_m=0.001),
    score=PairRule(crop_ratio=1.2, min_z_m=0.001),
    upstream_windows=False,
    depth_filter=None,
)
"""Our rules, which the nano networks are trained with: raw depth, model and image in exactly the same window."""


class FrameBuffers:
    """One RGB-D image on the device; allocated for one size, `upload` replaces the picture.

    On a CPU kernels read a frame's own memory, where that has the form: what is in it must stay until the next
    `upload`, and ``rgb`` and ``depth`` are other arrays after each.

    Args:
        height: Rows of the images [px].
        width: Columns of the images [px].
        device: ``"cpu"``, ``"cuda"``, ``"cuda:<i>"``, or a Warp device.
        images: Arrays to use as ``rgb``, ``depth`` and ``K_device``; made here if not given.

    Attributes:
        picture: Both, for kernels that read them there; None on another device than a CPU.
        K: Intrinsics on the host [px], ``(3, 3)`` float64.
        K_device: The same, ``(1,)`` mat33d.
    """

    def __init__(
        self,
        height: int,
        width: int,
        device: str | Device = "cpu",
        *,
        images: tuple[WpArray, WpArray, WpArray] | None = None,
    ) -> None:
        self.size_px = (height, width)
        self.device: Device = require_device(device) if isinstance(device, str) else device
        self.K: Float64 = np.eye(3)
        self.K_device: WpArray
        rgb, depth, self.K_device = images or (
            wp.zeros((height, width, 3), dtype=wp.uint8, device=self.device),
            wp.zeros((height, width), dtype=wp.float32, device=self.device),
            wp.array(self.K[None], dtype=wp.mat33d, device=self.device),
        )
        self._rgb, self._depth = ZeroCopyView(rgb), ZeroCopyView(depth)
        self.picture: ImageDescriptor | None = None
        if self.device.is_cpu:
            self.picture = ImageDescriptor(self.device)
            self.picture.show(rgb, depth)
        self._K_bytes = b""
        self._K_host = HostSide(self.K_device)
        self._filters: dict[DepthFilter, DepthFilterBuffers] = {}
        self._filtered_windows: dict[DepthFilter, Window] = {}

    @property
    def rgb(self) -> WpArray:
        """Colour, ``(H, W, 3)`` uint8."""
        return self._rgb.array

    @property
    def depth(self) -> WpArray:
        """z-depth as it came [m], ``(H, W)`` float32, 0 = no reading."""
        return self._depth.array

    def upload(self, frame: Frame) -> None:
        """Replace the picture.

        Raises:
            FrameError: The frame has another size than these buffers.
        """
        self._check_size(frame)
        self._rgb.show(frame.rgb)
        self._depth.show(frame.depth_m)
        if self.picture is not None:
            self.picture.point(self._rgb.address, self._depth.address)
        K_bytes = frame.K.tobytes()
        if K_bytes != self._K_bytes:
            self._K_bytes = K_bytes
            self.K = np.array(frame.K, dtype=np.float64)
            self._K_host.write(self.K[None])
        self.forget_filtered()

    def _check_size(self, frame: Frame) -> None:
        if frame.size_px != self.size_px:
            remedy = "make the buffers anew when a camera changes its resolution"
            raise FrameError(mismatch(f"frame {frame.index}", f"{frame.size_px}", f"{self.size_px} [px]", remedy))

    def forget_filtered(self) -> None:
        """Take nothing as filtered: the depth is another one."""
        self._filtered_windows.clear()

    def is_filtered(self, config: DepthFilter) -> bool:
        """Whether the whole image was filtered since the last upload."""
        height, width = self.size_px
        return self._filtered_windows.get(config) == (0, 0, width, height)

    def filtered_depth(self, config: DepthFilter, window: Window | None = None) -> WpArray:
        """Depth after ``config``, ``(H, W)`` float32 [m], up to date at least inside ``window`` (None: everywhere).

        What was filtered since the last upload is not filtered again when the window lies within it.
        """
        height, width = self.size_px
        x, y, w, h = window if window is not None else (0, 0, width, height)
        if config not in self._filters:
            self._filters[config] = DepthFilterBuffers(height, width, config, self.device)
        buffers = self._filters[config]
        done = self._filtered_windows.get(config)
        if done is not None:
            if x >= done[0] and y >= done[1] and x + w <= done[0] + done[2] and y + h <= done[1] + done[3]:
                return buffers.filtered
            right, bottom = max(x + w, done[0] + done[2]), max(y + h, done[1] + done[3])
            x, y = min(x, done[0]), min(y, done[1])
            w, h = right - x, bottom - y
        buffers.launch(self.depth, (x, y, w, h))
        self._filtered_windows[config] = (x, y, w, h)
        return buffers.filtered


class PairInputs:
    """Makes the two pictures of up to ``batch`` poses; buffers are allocated here, `fill` only launches.

    Args:
        mesh: The object in its centred frame; its device is used.
        diameter_m: Diameter of the object [m].
        preset: The rules.
        network: Which network the pictures are for.
        batch: Most poses per `fill`.
        size_px: Side of the pictures [px].
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
        self._span = thread_span(device, size_px)
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
        """Make the pictures of the first ``count`` poses (all given when None). Enqueues only.

        Args:
            frame: The image, on the device of the mesh.
            T_cam_centre: Poses of the centred mesh [m] with ``z > 0``: ``(N, 4, 4)`` NumPy, copied to the device; or
                mat44f on the device, read there.
            count: Poses to do, at most ``batch``.

        Raises:
            InputError: More poses than ``batch``.
        """
        count = len(T_cam_centre) if count is None else count
        if not 0 < count <= self.batch:
            raise InputError(mismatch("pose count", count, f"1..{self.batch}", "make the batch of the inputs larger"))
        if isinstance(T_cam_centre, np.ndarray):
            self._poses_host.write(T_cam_centre[:count])
        else:
            wp.copy(self.poses, T_cam_centre, count=count)
        rule, preset, mesh = self._rule, self.preset, self.mesh
        crop_window.launch_windows(
            self.poses,
            frame.K_device,
            reach_m=0.5 * self._diameter_m * rule.crop_ratio,
            size_px=self.size_px,
            image_size_px=frame.size_px,
            upstream=preset.upstream_windows,
            windows=self.windows,
            K_crop=self.K_crop,
            count=count,
            commands=self._launch_cache,
        )
        self._visibility.launch(self.poses, self.K_crop, self._lights, count)
        dim = (count, self.size_px, -(-self.size_px // self._span))
        numbers = [0.5 * self._diameter_m, rule.min_z_m, preset.xyz_limit, self._span]
        self._launch_cache.launch(
            write_rendered,
            dim,
            [self._visibility.keys, self.poses, self.K_crop, self._visibility.screen, mesh.faces, mesh.colours]
            + [mesh.uv, mesh.texture, mesh.has_texture, *numbers, self.rendered],
        )
        depth = frame.depth
        if preset.depth_filter is not None:
            window = None if frame.is_filtered(preset.depth_filter) else self._looked_at(frame, count)
            depth = frame.filtered_depth(preset.depth_filter, window)
        self._launch_cache.launch(
            write_observed,
            dim,
            [frame.rgb, depth, frame.K_device, self.windows, self.poses, *numbers, self.observed],
            changing=(0, 1),
        )

    def _looked_at(self, frame: FrameBuffers, count: int) -> Window | None:
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
