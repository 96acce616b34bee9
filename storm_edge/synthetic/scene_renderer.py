"""Scripts to frames: RGB-D images with exact ground truth, and BOP scenes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.labels import GroundTruth
from storm_edge.bop.writer import BopWriter
from storm_edge.frame import Frame
from storm_edge.geometry.camera import project
from storm_edge.geometry.se3 import transform
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.synthetic.appearance import motion_kernel, smear
from storm_edge.synthetic.layers import Layer, compose, render_layer
from storm_edge.synthetic.rooms import render_planes
from storm_edge.synthetic.scene_script import SceneScript

Float64 = NDArray[np.float64]
BoolImage = NDArray[np.bool_]

SIZE_PX = (480, 640)
RATE_HZ = 30.0
OBJECT_ID = 1
"""Id of the target in what `write_scene` writes."""


@dataclass(frozen=True, kw_only=True)
class LabelledFrame:
    """A frame and the truth about it."""

    frame: Frame
    """What the cameras deliver."""
    T_cam_obj: Float64
    """True pose of the target [m] ``(4, 4)``."""
    mask: BoolImage
    """Its whole silhouette ``(H, W)``."""
    mask_visib: BoolImage
    """What can be seen of it ``(H, W)``."""

    @property
    def visible_share(self) -> float:
        """Part of the silhouette that is visible."""
        return float(self.mask_visib.sum() / max(int(self.mask.sum()), 1))


class SceneRenderer:
    """Makes the frames of a `SceneScript`; keeps meshes on the device, and pictures of what stands still."""

    def __init__(self, script: SceneScript, *, size_px: tuple[int, int] = SIZE_PX) -> None:
        self.script = script
        self._size_px = size_px
        self._actors = (script.target, *script.others)
        self._buffers = [MeshBuffers.from_mesh(actor.mesh) for actor in self._actors]
        self._room: Layer | None = None
        self._still: dict[int, Layer | None] = {}

    def __iter__(self) -> Iterator[LabelledFrame]:
        return (self.render_frame(index) for index in range(self.script.frame_count))

    def render_frame(self, index: int) -> LabelledFrame:
        """Frame ``index``, the same at every call."""
        script = self.script
        rng = np.random.default_rng([script.seed, index])
        layers, shown = self._layers(index)
        scene = compose(layers)
        mask = np.zeros(self._size_px, dtype=bool)
        if 0 in shown:
            target = layers[1 + shown.index(0)]
            mask[target.window] = np.isfinite(target.depth)
        mask_visib = (scene.owner == 1 + shown.index(0)) if 0 in shown else np.zeros_like(mask)
        colour = self._blurred(index, scene.colour, scene.owner, layers, shown)
        frame = Frame(
            rgb=script.appearance.expose(colour, rng),
            depth_m=script.sensor.measure(scene.depth, scene.colour, float(script.K[0, 0]), rng),
            K=script.K,
            stamp_ns=round(index * 1e9 / RATE_HZ),
            index=index,
        )
        return LabelledFrame(frame=frame, T_cam_obj=script.T_cam_obj(index), mask=mask, mask_visib=mask_visib)

    def in_sight(self, index: int) -> bool:
        """Whether all of the target lies inside the picture."""
        script = self.script
        points = transform(script.T_cam_obj(index), script.target.mesh.vertices)
        if points[:, 2].min() <= 0.0:
            return False
        pixels = project(script.K, points)
        return bool(pixels.min() >= 0.0 and (pixels.max(axis=0) <= np.array(self._size_px)[::-1] - 1).all())

    def visible_share(self, index: int) -> float:
        """Part of the target's silhouette that is visible in a frame, without making the whole picture."""
        layers, shown = self._layers(index, with_room=False)
        if 0 not in shown:
            return 0.0
        target = layers[shown.index(0)]
        depth = target.depth.copy()
        silhouette = np.isfinite(depth)
        hidden = np.zeros_like(silhouette)
        for layer in layers:
            if layer is not target:
                hidden |= _overlap(layer, target) < depth
        return float((silhouette & ~hidden).sum() / max(int(silhouette.sum()), 1))

    def _layers(self, index: int, *, with_room: bool = True) -> tuple[list[Layer], list[int]]:
        """What there is to see in a frame: the room, then the actors in sight and their numbers."""
        script = self.script
        T_cam_world = script.camera_pose(index)
        layers: list[Layer] = []
        if with_room:
            if self._room is None or len(script.T_cam_world) > 1:
                self._room = render_planes(list(script.planes), T_cam_world, script.K, self._size_px)
            layers.append(self._room)
        shown = []
        for number, (actor, buffers) in enumerate(zip(self._actors, self._buffers, strict=True)):
            still = not actor.moves and len(script.T_cam_world) == 1
            if still and number in self._still:
                layer = self._still[number]
            else:
                T = T_cam_world @ actor.at(index)
                layer = render_layer(buffers, actor.mesh.vertices, T, script.K, self._size_px, script.light)
            if still:
                self._still[number] = layer
            if layer is not None:
                layers.append(layer)
                shown.append(number)
        return layers, shown

    def _blurred(
        self,
        index: int,
        colour: NDArray[np.float32],
        owner: NDArray[np.int16],
        layers: list[Layer],
        shown: list[int],
    ) -> NDArray[np.float32]:
        """Motion blur as long as the target's way in the image while the shutter was open."""
        script = self.script
        before, now = script.T_cam_obj(max(index - 1, 0)), script.T_cam_obj(index)
        way = project(script.K, now[:3, 3]) - project(script.K, before[:3, 3])
        length_px = float(np.hypot(*way)) * script.exposure_share
        if length_px < 1.0:
            return colour
        kernel = motion_kernel(length_px, float(np.arctan2(way[1], way[0])))
        moving = [1 + shown.index(number) for number in shown if self._actors[number].moves]
        if len(script.T_cam_world) > 1:
            return smear(colour, colour, np.ones(owner.shape, dtype=bool), kernel)
        behind = compose([layer for i, layer in enumerate(layers) if i not in moving]).colour
        return smear(colour, behind, np.isin(owner, moving), kernel)


def write_scene(path: Path, script: SceneScript) -> None:
    """Render a script and write it as a BOP scene with its model, target id `OBJECT_ID`.

    Raises:
        OutputError: The folder exists or cannot be written.
    """
    with BopWriter(path) as writer:
        writer.add_model(OBJECT_ID, script.target.mesh, symmetries_continuous=script.axes)
        for item in SceneRenderer(script):
            label = GroundTruth(object_id=OBJECT_ID, T_cam_obj=item.T_cam_obj)
            writer.add(item.frame, [label], masks=[item.mask], masks_visib=[item.mask_visib])


def _overlap(layer: Layer, target: Layer) -> NDArray[np.float32]:
    """Depth of ``layer`` in the window of ``target``, infinite outside its own."""
    out = np.full(target.depth.shape, np.inf, dtype=np.float32)
    rows, columns = (
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(layer.window, target.window, strict=True)
    )
    if rows.start < rows.stop and columns.start < columns.stop:
        inside = layer.depth[
            rows.start - layer.corner[0] : rows.stop - layer.corner[0],
            columns.start - layer.corner[1] : columns.stop - layer.corner[1],
        ]
        out[
            rows.start - target.corner[0] : rows.stop - target.corner[0],
            columns.start - target.corner[1] : columns.stop - target.corner[1],
        ] = inside
    return out
