"""Read a BOP scene folder lazily: millimetres on disk and metres inside.

A scene is `rgb/` (png, jpg or tif), `depth/` (16-bit png or tif times ``depth_scale`` = mm), `scene_camera.json`,
and, where there are labels, `scene_gt.json`, `mask/` and `mask_visib/`. Grey images in `gray/` become three equal
channels; `layout` says where several cameras have their files. Models may lie in `models/` beside them with their
`models_info.json`. The format is that of the BOP challenge (bop_toolkit, `docs/bop_datasets_format.md`); this package
is the only place where its millimetres and file names are known. It does not read meshes (`objects` does).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.completeness import check_complete
from storm_edge.bop.images import depth_path, mask_name, numbered_images, read_depth, read_mask, read_rgb
from storm_edge.bop.json_file import MM_PER_M, read_json
from storm_edge.bop.labels import GroundTruth, read_labels, read_visible_shares
from storm_edge.bop.layout import find_layout
from storm_edge.errors import CameraError, FrameError, SceneError, mismatch
from storm_edge.frame import Frame, checked_frame
from storm_edge.geometry.camera import check_K

Float64 = NDArray[np.float64]
BoolImage = NDArray[np.bool_]

LABELS = "scene_gt.json"
"""Name of the label file."""
DEFAULT_RATE_HZ = 30.0
"""Frame rate that stamps are made of, since BOP stores none [Hz]."""


class BopScene:
    """One recording on disk. Opening it reads the JSON files; images are read when asked for."""

    def __init__(
        self,
        path: str | Path,
        *,
        labels: str | None = None,
        rate_hz: float = DEFAULT_RATE_HZ,
        camera: str | None = None,
    ) -> None:
        """Open the scene folder ``path``.

        Args:
            path: Folder with `rgb/`, `depth/` and `scene_camera.json`.
            labels: Name of the label file inside it, `scene_gt.json` (of the camera) if None; the file may be absent,
                then there is no ground truth.
            rate_hz: Frame rate that stamps are made of, since BOP stores none [Hz].
            camera: Which of several cameras, ``cam1`` for `rgb_cam1/`; None where there is one.

        Raises:
            SceneError: Folder or file missing or unreadable, no images, or an image without intrinsics.
            CameraError: Intrinsics that no camera has.
        """
        self.path = Path(path)
        self._rate_hz = rate_hz
        if not self.path.is_dir():
            raise SceneError(mismatch(self.path, "no such folder", "a BOP scene folder", "check the path"))
        check_complete(self.path)
        self._layout = find_layout(self.path, camera)
        self._rgb_files = numbered_images(self._layout.colour)
        self.frame_ids: Sequence[int] = sorted(self._rgb_files)
        self._K, self._depth_scale = _read_cameras(self._layout.cameras, self.frame_ids)
        self.labels_path = self._layout.file(LABELS) if labels is None else self.path / labels
        self._labels = read_labels(self.labels_path) if self.labels_path.is_file() else None
        self._visible_shares = read_visible_shares(self._layout.file("scene_gt_info.json"))

    @property
    def camera_ids(self) -> list[int]:
        """Images that the camera file names, be they there or not."""
        return sorted(int(key) for key in read_json(self._layout.cameras) if key.isdecimal())

    @property
    def colour_folder(self) -> Path:
        """Folder of the colour images."""
        return self._layout.colour

    @property
    def depth_folder(self) -> Path:
        """Folder of the depth images."""
        return self._layout.depth

    def __contains__(self, frame_id: object) -> bool:
        return frame_id in self._rgb_files

    def __len__(self) -> int:
        return len(self.frame_ids)

    def __iter__(self) -> Iterator[Frame]:
        return (self.frame(frame_id) for frame_id in self.frame_ids)

    @property
    def has_ground_truth(self) -> bool:
        """Whether the label file is there."""
        return self._labels is not None

    @property
    def models_dir(self) -> Path:
        """Folder of the models when they lie inside the scene (standard BOP keeps them beside the split)."""
        return self.path / "models"

    def colour_path(self, frame_id: int) -> Path:
        """File of the colour image."""
        self._check_id(frame_id)
        return self._rgb_files[frame_id]

    def image_name(self, frame_id: int) -> str:
        """What to call an image in messages: its file."""
        return str(self.colour_path(frame_id))

    def K(self, frame_id: int) -> Float64:
        """Intrinsics of one image [px], ``(3, 3)``."""
        self._check_id(frame_id)
        return self._K[frame_id]

    def frame(self, frame_id: int) -> Frame:
        """Read one image pair.

        Raises:
            SceneError: Unknown id, or a depth file that is missing or unreadable.
            FrameError: Images of different sizes or types.
            DepthError: No pixel has a reading.
        """
        self._check_id(frame_id)
        rgb = read_rgb(self._rgb_files[frame_id], is_grey=self._layout.is_grey)
        path = depth_path(self._layout.depth, frame_id)
        raw = read_depth(path)
        if raw.shape != rgb.shape[:2]:
            raise FrameError(
                mismatch(
                    path,
                    f"size {raw.shape}",
                    f"{rgb.shape[:2]} like {self._rgb_files[frame_id].name}",
                    "align depth to colour and store both at one size",
                )
            )
        depth_m = raw.astype(np.float32) * np.float32(self._depth_scale[frame_id] / MM_PER_M)
        stamp_ns = round(frame_id * 1e9 / self._rate_hz)
        return checked_frame(
            rgb, depth_m, self._K[frame_id], stamp_ns=stamp_ns, index=frame_id, what=f"{self.path} image {frame_id}"
        )

    def ground_truth(self, frame_id: int) -> list[GroundTruth]:
        """Labels of one image in file order; empty where the file lists none for it.

        Raises:
            SceneError: Unknown id, or there is no label file.
        """
        self._check_id(frame_id)
        if self._labels is None:
            raise SceneError(
                mismatch(self.labels_path, "no such file", "labels of this scene", "name its label file (--labels)")
            )
        return self._labels.get(frame_id, [])

    def is_labelled(self, frame_id: int) -> bool:
        """Whether the label file speaks of this image, be it to say that nothing is in it."""
        self._check_id(frame_id)
        return self._labels is not None and frame_id in self._labels

    def has_mask(self, frame_id: int, label_index: int = 0) -> bool:
        """Whether `mask_visib/` has the mask of this label."""
        return self._mask_path("mask_visib", frame_id, label_index).is_file()

    def mask_visib(self, frame_id: int, label_index: int = 0) -> BoolImage:
        """Visible part of label ``label_index`` in image ``frame_id``, bool ``(H, W)``.

        Raises:
            SceneError: The file is missing or unreadable.
            FrameError: The file is not an 8-bit grey image.
        """
        return self._mask("mask_visib", frame_id, label_index)

    def mask(self, frame_id: int, label_index: int = 0) -> BoolImage:
        """Whole silhouette of the label, occluded parts included, bool ``(H, W)``; raises as `mask_visib`."""
        return self._mask("mask", frame_id, label_index)

    def visible_share(self, frame_id: int, label_index: int = 0) -> float | None:
        """Visible part of the label's silhouette, 0 to 1, by `scene_gt_info.json`, or by both its masks.

        Returns:
            None where the scene has neither.

        Raises:
            SceneError: Unknown id, or a mask is unreadable.
        """
        self._check_id(frame_id)
        shares = self._visible_shares.get(frame_id, [])
        if label_index < len(shares):
            return shares[label_index]
        if not all(self._mask_path(kind, frame_id, label_index).is_file() for kind in ("mask", "mask_visib")):
            return None
        whole = int(np.count_nonzero(self.mask(frame_id, label_index)))
        return int(np.count_nonzero(self.mask_visib(frame_id, label_index))) / whole if whole else 0.0

    def first_masked_frame(self, label_index: int = 0) -> int:
        """First image id that has a visible mask of this label.

        Raises:
            SceneError: No image has one.
        """
        for frame_id in self.frame_ids:
            if self.has_mask(frame_id, label_index):
                return frame_id
        raise SceneError(
            mismatch(
                self._layout.folder("mask_visib"),
                f"no mask NNNNNN_{label_index:06d}.png",
                "a mask for at least one image",
                "use --init auto, which needs none, or provide a mask",
            )
        )

    def _mask(self, kind: str, frame_id: int, label_index: int) -> BoolImage:
        self._check_id(frame_id)
        return read_mask(self._mask_path(kind, frame_id, label_index))

    def _mask_path(self, kind: str, frame_id: int, label_index: int) -> Path:
        return self._layout.folder(kind) / mask_name(frame_id, label_index)

    def _check_id(self, frame_id: int) -> None:
        if frame_id not in self._K:
            raise SceneError(
                mismatch(
                    f"{self.path} image {frame_id}",
                    "no such id",
                    f"one of {len(self.frame_ids)} ids, {self.frame_ids[0]} to {self.frame_ids[-1]}",
                    "check the frame number",
                )
            )


def _read_cameras(path: Path, frame_ids: Sequence[int]) -> tuple[dict[int, Float64], dict[int, float]]:
    """Intrinsics [px] and millimetres per depth step of every image."""
    entries = read_json(path)
    K: dict[int, Float64] = {}
    depth_scale: dict[int, float] = {}
    for frame_id in frame_ids:
        what = f"{path} image {frame_id}"
        entry = entries.get(str(frame_id))
        if not isinstance(entry, dict) or "cam_K" not in entry:
            raise SceneError(mismatch(what, "no cam_K", "cam_K and depth_scale", "add the camera of this image"))
        try:
            matrix = np.array(entry["cam_K"], dtype=np.float64).reshape(3, 3)
            scale = float(entry.get("depth_scale", 1.0))
        except (TypeError, ValueError, OverflowError) as error:
            raise CameraError(mismatch(what, error, "nine numbers and a depth_scale", "repair this entry")) from error
        if not (np.isfinite(scale) and scale > 0.0):
            raise SceneError(mismatch(what, f"depth_scale {scale}", "> 0 mm per depth step", "repair this entry"))
        K[frame_id] = check_K(matrix, what=f"{what} cam_K")
        depth_scale[frame_id] = scale
    return K, depth_scale
