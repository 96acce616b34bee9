"""Mild changes of a recording after which its truth is still exact. Values in, values out; files are `copies`' job.

What is changed is a `Shot`: a frame with its labels and masks. Mirroring also makes another object of the model:
`mirrored_mesh` has its left where the model has its right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.labels import GroundTruth
from storm_edge.frame import Frame
from storm_edge.geometry.camera import crop_K, project
from storm_edge.geometry.mesh import Mesh
from storm_edge.geometry.se3 import transform

Float64 = NDArray[np.float64]
BoolImage = NDArray[np.bool_]

JPEG_QUALITY = 60
"""What cameras that save space write: blocks of 8 px show, and colour at half the resolution."""
DARKER, BRIGHTER = 0.75, 1.25
"""Of all three channels: half a stop of exposure up and down, less than between two rooms."""
LATER_BY = 7
"""Frames by which a recording begins later: a quarter of a second of 30 Hz."""
CUT_SHARES = (0.08, 0.05, 0.03, 0.02)
"""Of the width or height that is cut off left, top, right and bottom; left and top move the principal point."""
CUT_MARGIN_PX = 8.0
"""Room that a cut leaves beside the object: it is never cut itself."""

_MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


class Change(str, Enum):
    """What is done to a recording."""

    NONE = "none"
    """Nothing: the verdict that the others are compared with."""
    JPEG = "jpeg"
    """Colour goes through a JPEG file of quality 60."""
    LATER = "later"
    """It begins some frames later, where there is a mask."""
    MIRRORED = "mirrored"
    """Left and right are exchanged, of the object as well."""
    DARKER = "darker"
    """Colour times 0.75."""
    BRIGHTER = "brighter"
    """Colour times 1.25; what is white stays white."""
    CROPPED = "cropped"
    """A border is cut off, more on the left than on the right, and K follows."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One image pair and the truth about it."""

    frame: Frame
    """Colour, depth and camera."""
    labels: tuple[GroundTruth, ...]
    """Objects in it."""
    masks: tuple[BoolImage, ...] = ()
    """Visible part of each label ``(H, W)``; empty where nobody marked it."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Pixels cut off at each side of an image."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __bool__(self) -> bool:
        return any((self.left, self.top, self.right, self.bottom))


def saved_as_jpeg(shot: Shot) -> Shot:
    """Colour as it comes back from a JPEG file."""
    _, code = cv2.imencode(".jpg", shot.frame.rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    rgb = np.array(cv2.imdecode(code, cv2.IMREAD_COLOR), dtype=np.uint8)[..., ::-1].copy()
    return replace(shot, frame=replace(shot.frame, rgb=rgb))


def lit(shot: Shot, factor: float) -> Shot:
    """Colour times ``factor``, rounded, and cut off at white as a sensor does."""
    rgb = np.clip(np.round(shot.frame.rgb.astype(np.float32) * factor), 0.0, 255.0).astype(np.uint8)
    return replace(shot, frame=replace(shot.frame, rgb=rgb))


def mirrored(shot: Shot) -> Shot:
    """The picture in a mirror, taken by a camera with the mirrored principal point, of the mirrored object."""
    frame = shot.frame
    K = frame.K.copy()
    K[0, 2] = frame.size_px[1] - 1 - K[0, 2]
    K[0, 1] = -K[0, 1]
    return Shot(
        frame=replace(frame, rgb=frame.rgb[:, ::-1].copy(), depth_m=frame.depth_m[:, ::-1].copy(), K=K),
        labels=tuple(replace(label, T_cam_obj=mirrored_motion(label.T_cam_obj)) for label in shot.labels),
        masks=tuple(np.ascontiguousarray(mask[:, ::-1]) for mask in shot.masks),
    )


def mirrored_motion(T: Float64) -> Float64:
    """A motion ``(4, 4)`` between two frames whose x axes both point the other way; it stays a motion."""
    return np.asarray(_MIRROR @ T @ _MIRROR)


def mirrored_mesh(mesh: Mesh) -> Mesh:
    """The surface at ``x -> -x``, its outside outside; colours and texture stay at their vertices."""
    flip = np.array([-1.0, 1.0, 1.0], dtype=np.float32)
    faces = np.ascontiguousarray(mesh.faces[:, ::-1])
    return replace(mesh, vertices=mesh.vertices * flip, normals=mesh.normals * flip, faces=faces)


def mirrored_info(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of `models_info.json` [mm] for the mirrored model."""
    changed = dict(entry)
    if "min_x" in entry and "size_x" in entry:
        changed["min_x"] = -(entry["min_x"] + entry["size_x"])
    if "symmetries_discrete" in entry:
        motions = [np.reshape(np.array(values, dtype=np.float64), (4, 4)) for values in entry["symmetries_discrete"]]
        changed["symmetries_discrete"] = [mirrored_motion(T).reshape(-1).tolist() for T in motions]
    if "symmetries_continuous" in entry:
        changed["symmetries_continuous"] = [
            {name: [-item[name][0], *item[name][1:]] for name in ("axis", "offset")}
            for item in entry["symmetries_continuous"]
        ]
    return changed


def cropped(shot: Shot, cut: Cut) -> Shot:
    """The picture without a border; the camera stays where it was."""
    height, width = shot.frame.size_px
    rows, columns = slice(cut.top, height - cut.bottom), slice(cut.left, width - cut.right)
    frame = replace(
        shot.frame,
        rgb=np.ascontiguousarray(shot.frame.rgb[rows, columns]),
        depth_m=np.ascontiguousarray(shot.frame.depth_m[rows, columns]),
        K=crop_K(shot.frame.K, [1.0, 1.0], [cut.left, cut.top]),
    )
    return replace(shot, frame=frame, masks=tuple(np.ascontiguousarray(mask[rows, columns]) for mask in shot.masks))


def free_border(shots: Sequence[Shot], vertices_m: NDArray[np.floating]) -> Cut:
    """What can be cut off all images of a recording, up to `CUT_SHARES`, without cutting the object.

    Args:
        shots: The recording; images without a label say nothing.
        vertices_m: Of the object [m], ``(V, 3)``, in the frame of the labels.

    Returns:
        The cut; an object at an edge of the image leaves nothing to cut there.
    """
    height, width = shots[0].frame.size_px
    sides = np.array([width, height, width, height])
    room = np.array(CUT_SHARES) * sides
    for shot in shots:
        for label in shot.labels:
            points = transform(label.T_cam_obj, vertices_m)
            if points[:, 2].min() <= 0.0:
                return Cut()
            uv = project(shot.frame.K, points)
            beside = np.concatenate([uv.min(axis=0), np.array([width, height]) - 1.0 - uv.max(axis=0)])
            room = np.minimum(room, beside - CUT_MARGIN_PX)
    left, top, right, bottom = (int(side) for side in np.maximum(room, 0.0))
    return Cut(left=left, top=top, right=right, bottom=bottom)


def later_start(masked: Sequence[bool]) -> int | None:
    """Place of the first image with a mask, `LATER_BY` or more from the beginning; None where there is none."""
    return next((place for place, has_mask in enumerate(masked) if has_mask and place >= LATER_BY), None)
