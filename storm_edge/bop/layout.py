"""Where the parts of a BOP scene lie: those of its one camera, or of one of several.

With one camera the folder holds `rgb/` (or `gray/`), `depth/`, `mask/`, `mask_visib/`, `scene_camera.json`,
`scene_gt.json` and `scene_gt_info.json`. The industrial sets have several cameras, and every name ends in that of its
camera: `rgb_cam1/`, `scene_camera_cam1.json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from storm_edge.errors import SceneError, mismatch

_COLOUR, _GREY, _DEPTH, _CAMERAS = "rgb", "gray", "depth", "scene_camera"


@dataclass(frozen=True, kw_only=True)
class SceneLayout:
    """The parts of one camera in a scene folder."""

    root: Path
    """The scene folder."""
    ending: str = ""
    """What the names end in: nothing, or ``_cam1`` for camera ``cam1``."""

    @property
    def is_grey(self) -> bool:
        """Whether there are grey images in place of coloured ones."""
        return not self.folder(_COLOUR).is_dir() and self.folder(_GREY).is_dir()

    @property
    def colour(self) -> Path:
        """Folder of the colour images, or of the grey ones."""
        return self.folder(_GREY if self.is_grey else _COLOUR)

    @property
    def depth(self) -> Path:
        """Folder of the depth images."""
        return self.folder(_DEPTH)

    @property
    def cameras(self) -> Path:
        """File of the intrinsics."""
        return self.file(f"{_CAMERAS}.json")

    def folder(self, name: str) -> Path:
        """A folder of this camera, such as ``mask_visib``."""
        return self.root / (name + self.ending)

    def file(self, name: str) -> Path:
        """A file of this camera, such as ``scene_gt.json``."""
        path = self.root / name
        return path.with_name(path.stem + self.ending + path.suffix)


def find_layout(root: Path, camera: str | None = None) -> SceneLayout:
    """The parts of the scene's only camera, or of the named one.

    Raises:
        SceneError: There is no camera of that name; or there are several, and none is named.
    """
    plain = SceneLayout(root=root)
    names = _camera_names(root)
    if camera is not None and camera not in names:
        got = f"camera {camera}"
        expected = f"one of {', '.join(names)}" if names else "no name: the scene has one camera"
        raise SceneError(mismatch(root, got, expected, "check --camera"))
    if camera is None and not plain.colour.is_dir() and names:
        if len(names) > 1:
            remedy = f"name one, such as --camera {names[0]}"
            raise SceneError(mismatch(root, f"cameras {', '.join(names)}", "one camera to read", remedy))
        camera = names[0]
    return plain if camera is None else SceneLayout(root=root, ending=f"_{camera}")


def _camera_names(root: Path) -> list[str]:
    """Cameras that have intrinsics and images under names of their own, in order."""
    head = f"{_CAMERAS}_"
    names = (path.stem.removeprefix(head) for path in root.glob(f"{head}*.json"))
    return sorted(name for name in names if name and SceneLayout(root=root, ending=f"_{name}").colour.is_dir())
