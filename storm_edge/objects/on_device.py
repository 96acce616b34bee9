"""An onboarded object in a device's memory: each mesh and the sparse views are uploaded once, when first asked for.

Whoever renders, refines, judges or tracks an object takes its arrays from here, so that they exist once however many
stages work on it. Nothing here changes after the upload; what is learned of an object while it is tracked is the
matter of the trackers.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.errors import ObjectBundleError, mismatch
from storm_edge.kernels.device import Device, WpArray, require_device
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.viewpoints import SparseViewpoints

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


def principal_tones(colours: Float32) -> tuple[Float64, Float32]:
    """The unit direction ``(3,)`` in which colours ``(..., 3)`` differ most, and the colours along it ``(...)``."""
    flat = colours.reshape(-1, 3).astype(np.float64)
    centred = flat - flat.mean(axis=0)
    axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    return axis, np.asarray(colours @ axis, dtype=np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewpointBuffers:
    """Warp arrays of one `SparseViewpoints`: V views of P contour and P surface points, in the centre frame."""

    directions: WpArray
    """Unit directions from the object's centre to the camera, ``(V,)`` vec3."""
    contour_points: WpArray
    """Points on the occluding contour [m], ``(V, P)`` vec3."""
    contour_normals: WpArray
    """Unit vectors across the contour, outwards, ``(V, P)`` vec3."""
    contour_distances: WpArray
    """Unbroken foreground inwards and background outwards [m], ``(V, P)`` vec2."""
    surface_points: WpArray
    """Visible surface points [m], ``(V, P)`` vec3."""
    surface_normals: WpArray
    """Their outward unit normals, ``(V, P)`` vec3."""
    tones: WpArray
    """Their colours along ``tone_axis``, ``(V, P)`` float32."""
    tone_axis: tuple[float, float, float]
    """Unit direction in RGB in which the object's colours differ most."""
    tone_deviation: float
    """Standard deviation of all tones, RGB counted from 0 to 1: how much texture there is."""
    point_count: int
    """P."""
    device: Device
    """Where the arrays are."""

    @classmethod
    def from_viewpoints(cls, viewpoints: SparseViewpoints, device: str | Device = "cpu") -> ViewpointBuffers:
        """Upload sparse views to a device given by name or as a Warp device.

        Raises:
            BackendError: The device is not here.
        """
        target = require_device(device) if isinstance(device, str) else device
        axis, tones = principal_tones(viewpoints.surface_colours)
        x, y, z = axis.tolist()
        return cls(
            directions=wp.array(viewpoints.directions, dtype=wp.vec3, device=target),
            contour_points=wp.array(viewpoints.contour_points, dtype=wp.vec3, device=target),
            contour_normals=wp.array(viewpoints.contour_normals, dtype=wp.vec3, device=target),
            contour_distances=wp.array(viewpoints.contour_distances, dtype=wp.vec2, device=target),
            surface_points=wp.array(viewpoints.surface_points, dtype=wp.vec3, device=target),
            surface_normals=wp.array(viewpoints.surface_normals, dtype=wp.vec3, device=target),
            tones=wp.array(tones, dtype=wp.float32, device=target),
            tone_axis=(x, y, z),
            tone_deviation=float(tones.std()),
            point_count=int(viewpoints.contour_points.shape[1]),
            device=target,
        )


class ObjectOnDevice:
    """One object, uploaded once; made for each object where loops are put together, and shared by its stages.

    The first use of an array uploads it on the current stream and may take a while: stages ask in their constructors.

    Args:
        bundle: The onboarded object.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:<i>"``, or a Warp device.
        as_upstream: Whether RefineNet and ScoreNet are shown the model, and given the rotations, that upstream has.

    Attributes:
        bundle: As given.
        device: The Warp device.
        as_upstream: As given.

    Raises:
        BackendError: The device is not here.
        ObjectBundleError: Upstream's model is asked for, and was not kept at onboarding.
    """

    def __init__(self, bundle: ObjectBundle, device: str | Device = "cpu", *, as_upstream: bool = False) -> None:
        if as_upstream and bundle.upstream is None:
            remedy = "onboard it again with --parity, or take another schedule"
            raise ObjectBundleError(
                mismatch(f"object {bundle.object_id}", "no model as upstream loads it", "one, for parity", remedy)
            )
        self.bundle, self.as_upstream = bundle, as_upstream
        self.device: Device = require_device(device) if isinstance(device, str) else device

    @property
    def object_id(self) -> str:
        """Name under which its poses are reported."""
        return self.bundle.object_id

    @property
    def diameter_m(self) -> float:
        """Largest distance between two vertices [m]."""
        return self.bundle.diameter_m

    @functools.cached_property
    def mesh(self) -> MeshBuffers:
        """The whole model in the centre frame; only the last ranking of a registration needs it."""
        if self.bundle.mesh is self.bundle.mesh_lod:
            return self.mesh_lod
        return MeshBuffers.from_mesh(self.bundle.mesh, self.device)

    @functools.cached_property
    def mesh_lod(self) -> MeshBuffers:
        """The coarser model for small crops, in the centre frame."""
        return MeshBuffers.from_mesh(self.bundle.mesh_lod, self.device)

    @functools.cached_property
    def network_mesh(self) -> MeshBuffers:
        """What RefineNet and ScoreNet are shown: the coarser model, or all of it as upstream loads it."""
        if self.as_upstream and self.bundle.upstream is not None:
            return MeshBuffers.from_mesh(self.bundle.upstream.mesh, self.device)
        return self.mesh_lod

    @property
    def rotation_grid(self) -> Float64:
        """First guesses ``R_cam_obj`` of registration, ``(G, 3, 3)``: ours, or those that upstream's rules leave."""
        if self.as_upstream and self.bundle.upstream is not None:
            return self.bundle.upstream.rotation_grid
        return self.bundle.rotation_grid

    @functools.cached_property
    def viewpoints(self) -> ViewpointBuffers:
        """The sparse views for the geometric refinement."""
        return ViewpointBuffers.from_viewpoints(self.bundle.viewpoints, self.device)
