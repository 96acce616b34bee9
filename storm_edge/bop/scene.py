"""Scene folders in the BOP format: read lazily, write atomically, millimetres on disk and metres inside.

A scene is `rgb/` (png or jpg), `depth/` (16-bit png times ``depth_scale`` = mm), `scene_camera.json`, and, where
there are labels, `scene_gt.json`, `mask/` and `mask_visib/`. Models may lie in `models/` beside them with their
`models_info.json`. The format is that of the BOP challenge (bop_toolkit, `docs/bop_datasets_format.md`); this module
is the only place where its millimetres and file names are known. It does not read meshes (`objects` does) and does
not know result files (`evaluate` does).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from storm_edge.errors import CameraError, FrameError, OutputError, SceneError, mismatch
from storm_edge.files import atomic_folder
from storm_edge.frame import Frame, checked_frame
from storm_edge.geometry.camera import check_K
from storm_edge.geometry.mesh import Mesh, diameter
from storm_edge.geometry.se3 import is_rigid, make_T
from storm_edge.geometry.symmetry import ContinuousSymmetry
from storm_edge.objects.ply import write_ply

Float64 = NDArray[np.float64]
BoolImage = NDArray[np.bool_]

MM_PER_M = 1000.0
DEFAULT_RATE_HZ = 30.0
_RGB_SUFFIXES = (".png", ".jpg", ".jpeg")
_RIGID_TOLERANCE = 1e-2  # label files hold rotations with few digits; anything worse is not a rotation


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """One labelled object in one image."""

    object_id: int
    """Number of the model, as in `models/obj_NNNNNN.ply`."""
    T_cam_obj: Float64
    """Object to camera [m], shape ``(4, 4)``."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What `models_info.json` says about one model."""

    diameter_m: float
    """Largest distance between two vertices [m]."""
    symmetries_discrete: tuple[Float64, ...] = ()
    """Motions ``(4, 4)`` [m] that map the object onto itself, without the identity."""
    symmetries_continuous: tuple[ContinuousSymmetry, ...] = ()
    """Axes of revolution."""


class BopScene:
    """One recording on disk. Opening it reads the JSON files; images are read when asked for."""

    def __init__(self, path: str | Path, *, labels: str = "scene_gt.json", rate_hz: float = DEFAULT_RATE_HZ) -> None:
        """Open the scene folder ``path``.

        Args:
            path: Folder with `rgb/`, `depth/` and `scene_camera.json`.
            labels: Name of the label file inside it; the file may be absent, then there is no ground truth.
            rate_hz: Frame rate that stamps are made of, since BOP stores none [Hz].

        Raises:
            SceneError: Folder or file missing or unreadable, no images, or an image without intrinsics.
            CameraError: Intrinsics that no camera has.
        """
        self.path = Path(path)
        self._rate_hz = rate_hz
        if not self.path.is_dir():
            raise SceneError(mismatch(self.path, "no such folder", "a BOP scene folder", "check the path"))
        self._rgb_files = _numbered_images(self.path / "rgb")
        self.frame_ids = sorted(self._rgb_files)
        self._K, self._depth_scale = _read_cameras(self.path / "scene_camera.json", self.frame_ids)
        self.labels_path = self.path / labels
        self._labels = _read_labels(self.labels_path) if self.labels_path.is_file() else None
        self._visible_shares = _read_visible_shares(self.path / "scene_gt_info.json")

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
        rgb = _read_rgb(self._rgb_files[frame_id])
        depth_path = self.path / "depth" / f"{frame_id:06d}.png"
        raw = _read_depth(depth_path)
        if raw.shape != rgb.shape[:2]:
            raise FrameError(
                mismatch(
                    depth_path,
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
                mismatch(self.labels_path, "no such file", "labels of this scene", "name the label file of the scene")
            )
        return self._labels.get(frame_id, [])

    def is_labelled(self, frame_id: int) -> bool:
        """Whether the label file speaks of this image, be it to say that nothing is in it."""
        self._check_id(frame_id)
        return self._labels is not None and frame_id in self._labels

    def has_mask(self, frame_id: int, label_index: int = 0) -> bool:
        """Whether `mask_visib/` has the mask of this label."""
        return _mask_path(self.path, "mask_visib", frame_id, label_index).is_file()

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
        if not all(_mask_path(self.path, k, frame_id, label_index).is_file() for k in ("mask", "mask_visib")):
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
                self.path / "mask_visib",
                f"no mask NNNNNN_{label_index:06d}.png",
                "a mask for at least one image",
                "provide a mask or start from ground truth",
            )
        )

    def _mask(self, kind: str, frame_id: int, label_index: int) -> BoolImage:
        self._check_id(frame_id)
        return read_mask(_mask_path(self.path, kind, frame_id, label_index))

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


class BopWriter:
    """Writes one scene folder; it appears under its name only when it is complete.

    A context manager: frames go to a hidden folder beside the target, which is renamed when the block ends and
    removed when it fails::

        with BopWriter(out) as writer:
            writer.add(frame, [GroundTruth(...)], masks_visib=[mask])
    """

    def __init__(self, path: str | Path, *, depth_scale: float = 0.1) -> None:
        """Prepare to write ``path``, which must not exist yet.

        Args:
            path: Scene folder to make.
            depth_scale: Millimetres per depth step; 0.1 reaches 6.5 m.

        Raises:
            OutputError: The folder exists already or its parent cannot be written.
        """
        self.path = Path(path)
        self._depth_scale = depth_scale
        # Whole or not at all; `__enter__` refuses an existing path, so no marker is ever looked for.
        self._whole = atomic_folder(self.path, marker="scene_camera.json")
        self._partial = self.path
        self._cameras: dict[str, Any] = {}
        self._labels: dict[str, Any] = {}
        self._label_infos: dict[str, Any] = {}
        self._models: dict[str, Any] = {}

    def __enter__(self) -> BopWriter:
        if self.path.exists():  # it may be somebody's recording: never replaced
            raise OutputError(
                mismatch(self.path, "an existing path", "a new folder", "remove it or choose another name")
            )
        self._partial = self._whole.__enter__()
        for name in ("rgb", "depth", "mask", "mask_visib"):
            (self._partial / name).mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            _write_json(self._partial / "scene_camera.json", self._cameras)
            _write_json(self._partial / "scene_gt.json", self._labels)
            _write_json(self._partial / "scene_gt_info.json", self._label_infos)
            if self._models:
                _write_json(self._partial / "models" / "models_info.json", self._models)
            for name in ("mask", "mask_visib"):  # left out where no frame had one
                if not any((self._partial / name).iterdir()):
                    (self._partial / name).rmdir()
        self._whole.__exit__(kind, value, trace)

    def add(
        self,
        frame: Frame,
        labels: Sequence[GroundTruth] = (),
        *,
        masks: Sequence[BoolImage] = (),
        masks_visib: Sequence[BoolImage] = (),
    ) -> None:
        """Write one image pair under ``frame.index`` with its labels.

        Args:
            frame: Colour and depth; depth beyond what 16 bits hold becomes 0.
            labels: Objects in the image.
            masks: Whole silhouettes, one per label, or none at all.
            masks_visib: Visible parts, one per label, or none at all.

        Raises:
            OutputError: A file cannot be written.
        """
        name, key = f"{frame.index:06d}", str(frame.index)
        steps = np.round(frame.depth_m * np.float32(MM_PER_M / self._depth_scale))
        depth = np.where(steps <= np.iinfo(np.uint16).max, steps, 0.0).astype(np.uint16)
        _write_png(self._partial / "rgb" / f"{name}.png", frame.rgb)
        _write_png(self._partial / "depth" / f"{name}.png", depth)
        for kind, images in (("mask", masks), ("mask_visib", masks_visib)):
            for index, image in enumerate(images):
                write_mask(_mask_path(self._partial, kind, frame.index, index), image)
        self._cameras[key] = {"cam_K": frame.K.reshape(-1).tolist(), "depth_scale": self._depth_scale}
        self._labels[key] = [
            {
                "cam_R_m2c": label.T_cam_obj[:3, :3].reshape(-1).tolist(),
                "cam_t_m2c": (label.T_cam_obj[:3, 3] * MM_PER_M).tolist(),
                "obj_id": label.object_id,
            }
            for label in labels
        ]
        if masks and masks_visib:
            pairs = zip(masks, masks_visib, strict=True)
            self._label_infos[key] = [_label_info(whole, visible, frame.depth_m) for whole, visible in pairs]

    def add_model(
        self, object_id: int, mesh: Mesh, *, symmetries_continuous: Sequence[ContinuousSymmetry] = ()
    ) -> None:
        """Write `models/obj_NNNNNN.ply` in millimetres and its entry of `models_info.json`.

        Raises:
            OutputError: The file cannot be written.
        """
        folder = self._partial / "models"
        folder.mkdir(exist_ok=True)
        write_ply(folder / f"obj_{object_id:06d}.ply", mesh, units_per_metre=MM_PER_M)
        low, high = (corner.astype(np.float64) * MM_PER_M for corner in mesh.bounds())
        entry: dict[str, Any] = {"diameter": diameter(mesh.vertices) * MM_PER_M}
        for axis, name in enumerate("xyz"):
            entry[f"min_{name}"] = float(low[axis])
            entry[f"size_{name}"] = float(high[axis] - low[axis])
        if symmetries_continuous:
            entry["symmetries_continuous"] = [
                {"axis": list(symmetry.axis), "offset": [x * MM_PER_M for x in symmetry.offset_m]}
                for symmetry in symmetries_continuous
            ]
        self._models[str(object_id)] = entry


def mask_name(frame_id: int, index: int) -> str:
    """File name of a mask: image number and which object of that image."""
    return f"{frame_id:06d}_{index:06d}.png"


def read_mask(path: Path) -> BoolImage:
    """A mask image, bool ``(H, W)``.

    Raises:
        SceneError: The file is missing or unreadable.
        FrameError: The file is not an 8-bit grey image.
    """
    image = _open_image(path)
    if image.ndim != 2 or image.dtype not in (np.uint8, np.bool_):
        raise FrameError(
            mismatch(path, f"{image.dtype} {image.shape}", "8-bit grey (H, W)", "store masks as 8-bit grey PNG")
        )
    return np.asarray(image > 0)


def write_mask(path: Path, mask: BoolImage) -> None:
    """Write a mask ``(H, W)`` as BOP stores it, 255 where it is set.

    Raises:
        OutputError: The file cannot be written.
    """
    _write_png(path, mask.astype(np.uint8) * np.uint8(255))


def read_models_info(path: str | Path) -> dict[int, ModelInfo]:
    """Read a `models_info.json`: diameters and symmetries by object id, in metres.

    Raises:
        SceneError: The file is missing, is not JSON, or an entry has no usable diameter or symmetry.
    """
    path = Path(path)
    return {int(key): _model_info(entry, what=f"{path} object {key}") for key, entry in _read_json(path).items()}


def _model_info(entry: dict[str, Any], *, what: str) -> ModelInfo:
    try:
        info = ModelInfo(
            diameter_m=float(entry["diameter"]) / MM_PER_M,
            symmetries_discrete=tuple(_symmetry_motion(values) for values in entry.get("symmetries_discrete", ())),
            symmetries_continuous=tuple(
                ContinuousSymmetry(axis=_vector(item["axis"]), offset_m=_vector(item["offset"], 1.0 / MM_PER_M))
                for item in entry.get("symmetries_continuous", ())
            ),
        )
        if not (np.isfinite(info.diameter_m) and info.diameter_m > 0.0):
            raise ValueError(f"diameter {entry['diameter']}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        got = f"{type(error).__name__} {error}"
        raise SceneError(mismatch(what, got, "diameter [mm] and BOP symmetries", "repair this entry")) from error
    return info


def _symmetry_motion(values: Sequence[float]) -> Float64:
    T = np.array(values, dtype=np.float64).reshape(4, 4)
    T[:3, 3] /= MM_PER_M
    if not is_rigid(T, tolerance=_RIGID_TOLERANCE):
        raise ValueError("a discrete symmetry that is not a rigid motion")
    return T


def _vector(values: Sequence[float], factor: float = 1.0) -> tuple[float, float, float]:
    x, y, z = (float(value) * factor for value in values)
    return x, y, z


def _numbered_images(folder: Path) -> dict[int, Path]:
    """Images of a folder by the number that is their name."""
    expected = "images named NNNNNN.png or NNNNNN.jpg"
    if not folder.is_dir():
        raise SceneError(mismatch(folder, "no such folder", expected, "check that this is a BOP scene"))
    found = {
        int(path.stem): path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in _RGB_SUFFIXES and path.stem.isdecimal()
    }
    if not found:
        raise SceneError(mismatch(folder, "no image", expected, "check that this is a BOP scene"))
    return found


def _read_cameras(path: Path, frame_ids: Sequence[int]) -> tuple[dict[int, Float64], dict[int, float]]:
    """Intrinsics [px] and millimetres per depth step of every image."""
    entries = _read_json(path)
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
        except (TypeError, ValueError) as error:
            raise CameraError(mismatch(what, error, "nine numbers and a depth_scale", "repair this entry")) from error
        if not (np.isfinite(scale) and scale > 0.0):
            raise SceneError(mismatch(what, f"depth_scale {scale}", "> 0 mm per depth step", "repair this entry"))
        K[frame_id] = check_K(matrix, what=f"{what} cam_K")
        depth_scale[frame_id] = scale
    return K, depth_scale


def _read_labels(path: Path) -> dict[int, list[GroundTruth]]:
    """Labels [m] of every image the file lists."""
    return {int(key): _image_labels(items, what=f"{path} image {key}") for key, items in _read_json(path).items()}


def _image_labels(items: Sequence[dict[str, Any]], *, what: str) -> list[GroundTruth]:
    try:
        return [GroundTruth(object_id=int(item["obj_id"]), T_cam_obj=_label_pose(item)) for item in items]
    except (KeyError, TypeError, ValueError) as error:
        got = f"{type(error).__name__} {error}"
        raise SceneError(mismatch(what, got, "cam_R_m2c, cam_t_m2c [mm] and obj_id", "repair this entry")) from error


def _read_visible_shares(path: Path) -> dict[int, list[float]]:
    """Visible share of every label by image; empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        return {int(key): [float(item["visib_fract"]) for item in items] for key, items in _read_json(path).items()}
    except (KeyError, TypeError, ValueError) as error:
        got = f"{type(error).__name__} {error}"
        raise SceneError(mismatch(path, got, "visib_fract of every label", "repair or remove it")) from error


def _label_pose(item: dict[str, Any]) -> Float64:
    R = np.array(item["cam_R_m2c"], dtype=np.float64).reshape(3, 3)
    t = np.array(item["cam_t_m2c"], dtype=np.float64).reshape(3)
    T = make_T(R, t / MM_PER_M)
    if not is_rigid(T, tolerance=_RIGID_TOLERANCE):
        raise ValueError("cam_R_m2c is not a rotation")
    return T


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object from disk."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SceneError(
            mismatch(path, error.strerror or error, "a readable file", "check that the folder is complete")
        ) from error
    except ValueError as error:
        raise SceneError(mismatch(path, f"no JSON ({error})", "a JSON object", "copy the file again")) from error
    if not isinstance(content, dict):
        raise SceneError(
            mismatch(path, type(content).__name__, "a JSON object keyed by number", "copy the file again")
        )
    return content


def _open_image(path: Path) -> NDArray[Any]:
    """Decode a whole image; Pillow is used because it refuses truncated files, which OpenCV pads."""
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except FileNotFoundError as error:
        raise SceneError(mismatch(path, "no such file", "an image", "check that the folder is complete")) from error
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise SceneError(
            mismatch(path, f"unreadable image ({error})", "a whole image", "copy the file again")
        ) from error


def _read_rgb(path: Path) -> NDArray[np.uint8]:
    image = _open_image(path)
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 4:  # opaque by convention
        image = image[..., :3]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise FrameError(
            mismatch(path, f"{image.dtype} {image.shape}", "8-bit RGB (H, W, 3)", "store colour images as 8-bit RGB")
        )
    return image


def _read_depth(path: Path) -> NDArray[np.uint16]:
    image = _open_image(path)
    if image.dtype != np.uint16 or image.ndim != 2:
        raise FrameError(
            mismatch(
                path, f"{image.dtype} {image.shape}", "16-bit grey (H, W)", "store depth as 16-bit PNG of z-depth"
            )
        )
    return image


def _mask_path(root: Path, kind: str, frame_id: int, label_index: int) -> Path:
    return root / kind / mask_name(frame_id, label_index)


def _write_png(path: Path, image: NDArray[Any]) -> None:
    pixels = image[..., ::-1] if image.ndim == 3 else image
    # Run-length strategy: half the time of the default one, and for noisy pictures no larger.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    _, code = cv2.imencode(".png", pixels, options)
    try:
        path.write_bytes(code.tobytes())
    except OSError as error:
        raise OutputError(mismatch(path, error, "a writable file", "choose another output folder")) from error


def _write_json(path: Path, entries: dict[str, Any]) -> None:
    """One entry per line, as BOP files have it: greppable, and small in a diff."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in entries.items())
    try:
        path.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(mismatch(path, error, "a writable file", "choose another output folder")) from error


def _label_info(whole: BoolImage, visible: BoolImage, depth_m: NDArray[np.float32]) -> dict[str, Any]:
    """The `scene_gt_info.json` entry of one label."""
    whole_count, visible_count = int(whole.sum()), int(visible.sum())
    return {
        "bbox_obj": _box(whole),
        "bbox_visib": _box(visible),
        "px_count_all": whole_count,
        "px_count_valid": int((whole & (depth_m > 0.0)).sum()),
        "px_count_visib": visible_count,
        "visib_fract": visible_count / whole_count if whole_count else 0.0,
    }


def _box(mask: BoolImage) -> list[int]:
    """Bounding box ``x, y, width, height`` [px]; all -1 where the mask is empty (BOP's rule)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return [-1, -1, -1, -1]
    return [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)]
