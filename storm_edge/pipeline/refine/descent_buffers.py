"""Buffers of poses that descend together: the poses, their Gauss-Newton rows and sums, and their terms."""

from __future__ import annotations

from typing import Any

import warp as wp

from storm_edge.kernels import evidence as ev
from storm_edge.kernels import gauss_newton as gn
from storm_edge.kernels.descent_structs import PoseBuffers, PoseResults
from storm_edge.kernels.device import HostSide, WpArray
from storm_edge.objects.on_device import ViewpointBuffers


class DescentBuffers:
    """Buffers for up to ``capacity`` poses of one object; what lies in them is written by launches.

    Args:
        viewpoints: The object; its device is used.
        capacity: Most poses at once.

    Attributes:
        camera: ``(fx, fy, cx, cy)`` [px], ``(1,)`` vec4.
        poses: ``T_cam_centre``, ``(capacity,)`` mat44.
        views: Stored view of each pose, ``(capacity,)`` int32.
        rows: Gauss-Newton rows of all terms, ``(capacity, 3 P, ROW_LENGTH)`` float32.
        sums: Normal matrices of the last step, ``(capacity, ROW_LENGTH, ROW_LENGTH)`` float32.
        evidence: Sums of `kernels.evidence`, ``(capacity, SUM_COUNT)`` float32.
        terms: Terms of `kernels.evidence`, ``(capacity, TERM_COUNT)`` float64.
        arrays: Camera, poses, views and rows as kernels take them, `kernels.descent_structs.PoseBuffers`.
        results: Sums, evidence and terms likewise, `kernels.descent_structs.PoseResults`.
        camera_host: The camera as the host writes it.
        poses_host: The poses as the host reads and writes them.
        sums_host: The normal matrices as the host reads them.
        terms_host: The terms as the host reads them.
    """

    def __init__(self, viewpoints: ViewpointBuffers, capacity: int) -> None:
        device = viewpoints.device
        row_count = 3 * viewpoints.point_count  # fixed: depth, contour and texture
        self.capacity = capacity
        self.camera: WpArray = wp.zeros(1, dtype=wp.vec4, device=device)
        self.poses: WpArray = wp.zeros(capacity, dtype=wp.mat44, device=device)
        self.views: WpArray = wp.zeros(capacity, dtype=wp.int32, device=device)
        self.rows: WpArray = wp.zeros((capacity, row_count, gn.ROW_LENGTH), dtype=wp.float32, device=device)
        self.sums: WpArray = wp.zeros((capacity, gn.ROW_LENGTH, gn.ROW_LENGTH), dtype=wp.float32, device=device)
        self.evidence: WpArray = wp.zeros((capacity, ev.SUM_COUNT), dtype=wp.float32, device=device)
        self.terms: WpArray = wp.zeros((capacity, ev.TERM_COUNT), dtype=wp.float64, device=device)
        self.arrays: Any = PoseBuffers()
        self.arrays.camera, self.arrays.poses, self.arrays.views = self.camera, self.poses, self.views
        self.arrays.rows = self.rows
        self.results: Any = PoseResults()
        self.results.sums, self.results.evidence, self.results.terms = self.sums, self.evidence, self.terms
        self.camera_host, self.poses_host = HostSide(self.camera), HostSide(self.poses)
        self.sums_host, self.terms_host = HostSide(self.sums), HostSide(self.terms)
