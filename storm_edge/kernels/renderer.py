"""Rendering: N poses of one mesh, each with its own K, to colour, depth, points and mask.

`Renderer` owns the buffers of the three passes of `storm_edge.kernels.raster` and `storm_edge.kernels.shading`;
`render` is the same once, with NumPy in and out.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import warp as wp
from numpy.typing import ArrayLike, NDArray

from storm_edge.errors import InputError, mismatch
from storm_edge.geometry.mesh import Mesh
from storm_edge.kernels.device import WpArray, thread_span
from storm_edge.kernels.launch_cache import LaunchCache
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.raster import Visibility
from storm_edge.kernels.shading import Images, Lighting, shade_pixels


class Renderer:
    """Renders up to ``batch`` poses of one mesh per launch; buffers are allocated here, `launch` only launches.

    Args:
        mesh: The object; its device is the renderer's.
        batch: Most poses per launch.
        size_px: Side of a square image, or (height, width) [px].
        lighting: Light of every pose until `set_lighting`.

    Attributes:
        colour: RGB in [0, 1], ``(batch, H, W, 3)`` float32.
        depth: z-depth [m], ``(batch, H, W)`` float32, 0 = background.
        xyz: Camera-frame points [m], ``(batch, H, W, 3)`` float32, 0 = background.
        mask: 1 where the mesh is seen, ``(batch, H, W)`` uint8.
    """

    def __init__(
        self,
        mesh: MeshBuffers,
        *,
        batch: int,
        size_px: int | tuple[int, int],
        lighting: Lighting | None = None,
    ) -> None:
        size = (size_px, size_px) if isinstance(size_px, int) else size_px
        self.mesh = mesh
        self.batch = batch
        self.size_px = size
        self.visibility = Visibility(mesh, batch=batch, size_px=size)
        self._column_span = thread_span(mesh.device, size[1])
        self._launch_cache = LaunchCache(mesh.device)
        shape, device = (batch, *size), mesh.device
        self.lights: WpArray = wp.empty(batch, dtype=wp.vec4f, device=device)
        self._colour: WpArray = wp.empty(shape, dtype=wp.vec3f, device=device)
        self._xyz: WpArray = wp.empty(shape, dtype=wp.vec3f, device=device)
        self.depth: WpArray = wp.empty(shape, dtype=wp.float32, device=device)
        self.mask: WpArray = wp.empty(shape, dtype=wp.uint8, device=device)
        # The same memory seen as (..., 3) floats, as networks and NumPy want it.
        self.colour: WpArray = self._colour.view(wp.float32)
        self.xyz: WpArray = self._xyz.view(wp.float32)
        images: Any = Images()
        images.colour, images.depth, images.xyz, images.mask = self._colour, self.depth, self._xyz, self.mask
        self._images = images
        self.set_lighting(lighting or Lighting())

    def set_lighting(self, lighting: Lighting | Sequence[Lighting]) -> None:
        """One light for all poses, or one per pose (``batch`` of them)."""
        lights = [lighting] * self.batch if isinstance(lighting, Lighting) else list(lighting)
        if len(lights) != self.batch:
            raise InputError(
                mismatch("lighting", f"{len(lights)} lights", f"{self.batch}", "give one light per pose")
            )
        self.lights.assign(np.array([light.packed() for light in lights], dtype=np.float32))

    def launch(self, T_cam_obj: WpArray, K: WpArray, count: int | None = None) -> None:
        """Render the first ``count`` poses (all when None). Enqueues only; synchronise before reading on CUDA.

        Args:
            T_cam_obj: Object to camera [m], ``(batch,)`` mat44f.
            K: Intrinsics [px] of each image, ``(batch,)`` mat33f; a crop is rendered by giving its K.
            count: Poses to render, at most ``batch``; later images keep what they had.
        """
        count = self.batch if count is None else count
        if not 0 < count <= self.batch:
            raise InputError(mismatch("render count", count, f"1..{self.batch}", "make the renderer's batch larger"))
        self.visibility.launch(T_cam_obj, K, self.lights, count)
        height, width = self.size_px
        self.shade(K, count, (slice(0, height), slice(0, width)))

    def shade(self, K: WpArray, count: int, window: tuple[slice, slice]) -> None:
        """The second half of `launch`, for some rows and columns alone; what is beside them keeps what it had."""
        rows, columns = window
        span = min(self._column_span, columns.stop - columns.start)
        self._launch_cache.launch(
            shade_pixels,
            (count, rows.stop - rows.start, -(-(columns.stop - columns.start) // span)),
            [self.visibility.keys, K, self.visibility.screen, self.mesh.arrays, span]
            + [rows.start, columns.start, columns.stop, self._images],
        )


class RenderResult:
    """Images of `render`, background 0 everywhere; each is made where it is first asked for.

    Args:
        renderer: Has rendered ``window`` of them, and renders nothing else.
        count: Images.
        window: See the attribute.

    Attributes:
        window: Rows and columns beside which is nothing but background.
    """

    def __init__(self, renderer: Renderer, count: int, window: tuple[slice, slice]) -> None:
        self._renderer, self._count, self.window = renderer, count, window

    @cached_property
    def colour(self) -> NDArray[np.float32]:
        """RGB in [0, 1], shape ``(N, H, W, 3)``."""
        return self._whole(self._renderer.colour)

    @cached_property
    def depth(self) -> NDArray[np.float32]:
        """z-depth [m], shape ``(N, H, W)``."""
        return self._whole(self._renderer.depth)

    @cached_property
    def xyz(self) -> NDArray[np.float32]:
        """Surface points [m], camera frame, shape ``(N, H, W, 3)``."""
        return self._whole(self._renderer.xyz)

    @cached_property
    def mask(self) -> NDArray[np.uint8]:
        """1 where the mesh is seen, shape ``(N, H, W)``."""
        return self._whole(self._renderer.mask)

    def cut(self, name: Literal["colour", "depth", "xyz", "mask"]) -> NDArray[Any]:
        """One of the images, of ``window`` alone: ``(N, rows, columns, ...)``."""
        return np.array(self._rendered(getattr(self._renderer, name)))

    def _rendered(self, array: WpArray) -> NDArray[Any]:
        """The window; on a CPU a view that lives as long as the renderer."""
        rows, columns = self.window
        return np.asarray(array.numpy()[: self._count, rows, columns])

    def _whole(self, array: WpArray) -> NDArray[Any]:
        rendered = self._rendered(array)
        whole = np.zeros((self._count, *self._renderer.size_px, *rendered.shape[3:]), dtype=rendered.dtype)
        rows, columns = self.window
        whole[:, rows, columns] = rendered
        return whole


def render(
    mesh: Mesh | MeshBuffers,
    T_cam_obj: ArrayLike,
    K: ArrayLike,
    size_px: int | tuple[int, int],
    *,
    lighting: Lighting | Sequence[Lighting] | None = None,
    device: str = "cpu",
) -> RenderResult:
    """Render once, NumPy in and out. For drawings, data and tests; loops keep a `Renderer`.

    Args:
        mesh: A mesh, or one already on a device (then ``device`` is not read).
        T_cam_obj: Object to camera [m], ``(N, 4, 4)`` or ``(4, 4)``.
        K: Intrinsics [px], ``(3, 3)`` or ``(N, 3, 3)``.
        size_px: Side of a square image, or (height, width) [px].
        lighting: One light, or one per pose; upstream's headlight when None.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:<i>"``.
    """
    buffers = mesh if isinstance(mesh, MeshBuffers) else MeshBuffers.from_mesh(mesh, device)
    T = np.asarray(T_cam_obj, dtype=np.float32).reshape(-1, 4, 4)
    K_each = np.ascontiguousarray(np.broadcast_to(np.asarray(K, dtype=np.float32), (len(T), 3, 3)))
    renderer = Renderer(buffers, batch=len(T), size_px=size_px)
    if lighting is not None:
        renderer.set_lighting(lighting)
    K_device = wp.array(K_each, dtype=wp.mat33f, device=buffers.device)
    renderer.visibility.launch(wp.array(T, dtype=wp.mat44f, device=buffers.device), K_device, renderer.lights, len(T))
    window = _seen_window(renderer.visibility.screen.numpy(), renderer.size_px)
    renderer.shade(K_device, len(T), window)
    return RenderResult(renderer, len(T), window)


def _seen_window(screen: NDArray[np.float32], size_px: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns in which any of the projected vertices ``(N, V, 4)`` are; a pixel where there are none."""
    seen = screen[screen[..., 2] > 0.0]
    spans = []
    for axis, size in ((1, size_px[0]), (0, size_px[1])):
        low, high = (float(seen[:, axis].min()), float(seen[:, axis].max())) if len(seen) else (0.0, 0.0)
        first = int(np.clip(np.floor(low), 0, size - 1))
        spans.append(slice(first, int(np.clip(np.ceil(high) + 1.0, first + 1, size))))
    return spans[0], spans[1]
