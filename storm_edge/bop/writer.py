"""Write a BOP scene folder, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.images import mask_path, write_mask, write_png
from storm_edge.bop.json_file import MM_PER_M, write_json
from storm_edge.bop.labels import GroundTruth, label_info
from storm_edge.errors import OutputError, mismatch
from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh, diameter
from storm_edge.geometry.symmetry import ContinuousSymmetry
from storm_edge.objects.ply import write_ply
from storm_edge.parsing import parse_json
from storm_edge.result_folder import atomic_folder
from storm_edge.result_kind import ResultKind

BoolImage = NDArray[np.bool_]

_SCENE = ResultKind(command="storm-edge", marker="scene_camera.json", keys=frozenset(), sums=False)


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
        # Whole or not at all; `__enter__` refuses an existing path, so no older one is ever looked for.
        self._whole = atomic_folder(self.path, _SCENE)
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
            write_json(self._partial / "scene_camera.json", self._cameras)
            write_json(self._partial / "scene_gt.json", self._labels)
            write_json(self._partial / "scene_gt_info.json", self._label_infos)
            if self._models:
                write_json(self._partial / "models" / "models_info.json", self._models)
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
        write_png(self._partial / "rgb" / f"{name}.png", frame.rgb)
        write_png(self._partial / "depth" / f"{name}.png", depth)
        for kind, images in (("mask", masks), ("mask_visib", masks_visib)):
            for index, image in enumerate(images):
                write_mask(mask_path(self._partial, kind, frame.index, index), image)
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
            self._label_infos[key] = [label_info(whole, visible, frame.depth_m) for whole, visible in pairs]

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


def written_files(path: Path) -> list[str]:
    """Files of a scene folder that `BopWriter` left, relative to it: what its own JSON files name, and those.

    Where these are missing or were changed it may be fewer; whether each is there is left open.
    """
    names = ["scene_camera.json", "scene_gt.json", "scene_gt_info.json", "models/models_info.json"]
    cameras, labels, _, models = (_entries(path / name) for name in names)
    for frame in filter(str.isdecimal, cameras):
        names += [f"{kind}/{int(frame):06d}.png" for kind in ("rgb", "depth")]
        for index in range(len(labels.get(frame) or ())):
            names += [mask_path(Path(), kind, int(frame), index).as_posix() for kind in ("mask", "mask_visib")]
    return names + [f"models/obj_{int(number):06d}.ply" for number in filter(str.isdecimal, models)]


def _entries(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
