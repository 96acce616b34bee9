"""A painted mug on a table, rendered without noise: the stage of the perception and loop tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import render
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice, ViewpointBuffers
from storm_edge.objects.onboard import onboard
from storm_edge.objects.ply import write_ply
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.synthetic.objects import make_object

K = np.array([[570.0, 0.0, 319.5], [0.0, 570.0, 239.5], [0.0, 0.0, 1.0]])
TABLE_DEPTH_M = 0.9


@dataclass(frozen=True)
class Staged:
    """An object and pictures of it at chosen poses."""

    bundle: ObjectBundle
    mesh: Mesh
    T_cam_centre: np.ndarray

    @cached_property
    def item(self) -> ObjectOnDevice:
        """The object on the CPU, uploaded once for all tests."""
        return ObjectOnDevice(self.bundle)

    def frame(self, T_cam_centre: np.ndarray | None = None, *, hidden: tuple[slice, slice] | None = None) -> Frame:
        """A picture before a grey wall; ``hidden`` is a window that something white in front covers."""
        T = self.T_cam_centre if T_cam_centre is None else T_cam_centre
        seen = render(self.item.mesh, T, K, (480, 640))
        mask = seen.mask[0] > 0
        depth = np.where(mask, seen.depth[0], np.float32(TABLE_DEPTH_M))
        v, u = np.mgrid[0:480, 0:640]
        wall = 0.45 + 0.1 * np.sin(u / 37.0) * np.cos(v / 23.0)
        colour = np.where(mask[..., None], seen.colour[0], wall[..., None])
        if hidden is not None:
            depth[hidden], colour[hidden] = 0.35, 0.95
        return Frame(rgb=np.round(colour * 255).astype(np.uint8), depth_m=depth.astype(np.float32), K=K, index=0)

    def mask(self, T_cam_centre: np.ndarray | None = None) -> np.ndarray:
        """The silhouette, bool ``(480, 640)``."""
        T = self.T_cam_centre if T_cam_centre is None else T_cam_centre
        return render(self.item.mesh, T, K, (480, 640)).mask[0] > 0

    def buffers(self, frame: Frame | None = None) -> FrameBuffers:
        """A frame, uploaded."""
        buffers = FrameBuffers(480, 640)
        buffers.upload(frame or self.frame())
        return buffers


class Uploads:
    """Counts what is uploaded from now on: meshes and sparse views.

    Args:
        monkeypatch: Takes the spies away again.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.all: list[object] = []
        for kind, name in ((MeshBuffers, "from_mesh"), (ViewpointBuffers, "from_viewpoints")):
            monkeypatch.setattr(kind, name, self._spied(getattr(kind, name)))

    def _spied(self, upload: Callable[..., object]) -> Callable[..., object]:
        def spy(what: object, *arguments: object) -> object:
            self.all.append(what)
            return upload(what, *arguments)

        return spy

    def of(self, bundle: ObjectBundle) -> dict[str, int]:
        """How often each form of an object was uploaded."""
        forms = {"mesh": bundle.mesh, "mesh_lod": bundle.mesh_lod, "viewpoints": bundle.viewpoints}
        return {name: sum(what is form for what in self.all) for name, form in forms.items()}


def stage_mug(folder: Path) -> Staged:
    """Make the mug, onboarded with few views to be quick."""
    path = folder / "mug.ply"
    mesh = make_object(11, family="mug", paint_kind="labels", diameter_m=0.15, face_count=3000).mesh
    write_ply(path, mesh)
    bundle = onboard(path, "mm", view_subdivisions=2)
    return Staged(bundle, mesh, make_T(exp_so3([2.0, 0.3, -0.2]), [0.03, -0.02, 0.65]))
