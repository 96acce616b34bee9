"""Images of a posed model on its frame: tinted surface, outline, axes, and a line of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.geometry.camera import project
from storm_edge.geometry.se3 import transform
from storm_edge.kernels.device import WpArray, require_device
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import Renderer
from storm_edge.kernels.shading import Lighting
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.replay.drawing.images import WHITE, Colour, darken_top, put_text, text_width_px

Float64 = NDArray[np.float64]
UInt8 = NDArray[np.uint8]

STATE_COLOURS: dict[TrackState, Colour] = {
    TrackState.SEARCHING: (150, 150, 150),
    TrackState.REGISTERING: (70, 150, 255),
    TrackState.TRACKING: (60, 215, 120),
    TrackState.SUSPECT: (255, 180, 40),
    TrackState.LOST: (240, 70, 70),
}
"""RGB per state; the same in pictures and plots."""

DOUBTED = 0.5
"""Confidence below which a pose is drawn in the colour of SUSPECT, whatever its state: see the glossary."""


def drawn_colour(track: Track) -> Colour:
    """RGB of a track: that of its state, and of SUSPECT where its pose is TRACKING but not believed."""
    doubted = track.state is TrackState.TRACKING and track.confidence < DOUBTED
    return STATE_COLOURS[TrackState.SUSPECT if doubted else track.state]


_AXIS_COLOURS: tuple[Colour, Colour, Colour] = ((235, 60, 60), (70, 200, 70), (70, 120, 255))
_AXIS_SHARE = 0.5  # of the diameter
_SURFACE_OPACITY = 0.35
_HEADLIGHT = Lighting(ambient=0.25, diffuse=0.75)
_NEAR_M = 0.01


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """One object as the renderer needs it."""

    bundle: ObjectBundle
    renderer: Renderer
    T_buffer: WpArray
    K_buffer: WpArray


class OverlayPainter:
    """Draws tracks on frames of one size; renderers are made here, once per object.

    Args:
        bundles: Objects that tracks may name.
        size_px: Height and width of the frames [px].
    """

    def __init__(self, bundles: Sequence[ObjectBundle], size_px: tuple[int, int]) -> None:
        self._size_px = size_px
        self._drawn = {bundle.object_id: self._prepare(bundle) for bundle in bundles}

    def _prepare(self, bundle: ObjectBundle) -> _Drawn:
        # White and without texture: the picture then holds the shading alone, to be tinted.
        white = replace(bundle.mesh, colours=np.ones_like(bundle.mesh.colours), uv=None, texture=None)
        device = require_device("cpu")
        buffers = MeshBuffers.from_mesh(white, "cpu")
        return _Drawn(
            bundle=bundle,
            renderer=Renderer(buffers, batch=1, size_px=self._size_px, lighting=_HEADLIGHT),
            T_buffer=wp.zeros(1, dtype=wp.mat44f, device=device),
            K_buffer=wp.zeros(1, dtype=wp.mat33f, device=device),
        )

    def paint(self, frame: Frame, tracks: Sequence[Track], *, note: str = "") -> UInt8:
        """The frame with every track that has a pose drawn on it, RGB ``(H, W, 3)``.

        Args:
            frame: Image and intrinsics.
            tracks: Tracks of this frame.
            note: Text behind the states, such as an error in mm.
        """
        picture: UInt8 = np.array(frame.rgb)
        for track in tracks:
            if track.T_cam_obj is not None and track.object_id in self._drawn:
                self._paint_pose(picture, frame.K, track, self._drawn[track.object_id])
        _paint_caption(picture, frame.index, tracks, note)
        return picture

    def _paint_pose(self, picture: UInt8, K: Float64, track: Track, drawn: _Drawn) -> None:
        T_cam_centre = np.asarray(track.T_cam_obj) @ drawn.bundle.T_obj_centre
        drawn.T_buffer.numpy()[0] = T_cam_centre
        drawn.K_buffer.numpy()[0] = K
        drawn.renderer.launch(drawn.T_buffer, drawn.K_buffer, 1)
        mask = drawn.renderer.mask.numpy()[0]
        shade = drawn.renderer.colour.numpy()[0][..., :1]
        colour = np.array(drawn_colour(track), dtype=np.float32)
        seen = mask > 0
        tinted = picture[seen] * (1.0 - _SURFACE_OPACITY) + shade[seen] * colour * _SURFACE_OPACITY
        picture[seen] = tinted.astype(np.uint8)
        outline, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.polylines(picture, list(outline), True, drawn_colour(track), 2, cv2.LINE_AA)
        _paint_axes(picture, K, T_cam_centre, _AXIS_SHARE * drawn.bundle.diameter_m)


def _paint_axes(picture: UInt8, K: Float64, T_cam_centre: Float64, length_m: float) -> None:
    """The object's x, y and z axes in red, green and blue, from its centre."""
    ends = np.vstack([np.zeros(3), np.eye(3) * length_m])
    points = transform(T_cam_centre, ends)
    if (points[:, 2] < _NEAR_M).any():
        return
    pixels = np.round(project(K, points)).astype(int)
    for end, colour in sorted(zip(range(1, 4), _AXIS_COLOURS, strict=True), key=lambda item: -points[item[0], 2]):
        tip = (int(pixels[end, 0]), int(pixels[end, 1]))
        root = (int(pixels[0, 0]), int(pixels[0, 1]))
        cv2.line(picture, root, tip, (0, 0, 0), 4, cv2.LINE_AA)
        cv2.line(picture, root, tip, colour, 2, cv2.LINE_AA)


def _paint_caption(picture: UInt8, frame: int, tracks: Sequence[Track], note: str) -> None:
    """A dark band on top: frame number, and per object its name, state, confidence and time."""
    scale = picture.shape[1] / 640.0
    line_px = max(12, round(20 * scale))
    font_size = 0.5 * scale
    darken_top(picture, line_px * max(1, len(tracks)) + round(6 * scale))
    for row, track in enumerate(tracks):
        text = f"{track.object_id}  {track.confidence:.2f}  {track.total_ms:.1f} ms"
        y = round((row + 1) * line_px - 4 * scale)
        put_text(picture, track.state.value, (round(8 * scale), y), font_size, drawn_colour(track))
        put_text(picture, text, (round(130 * scale), y), font_size, WHITE)
    right = f"{note}  {frame:06d}".strip()
    x = picture.shape[1] - text_width_px(right, font_size) - round(8 * scale)
    put_text(picture, right, (x, round(line_px - 4 * scale)), font_size, WHITE)
