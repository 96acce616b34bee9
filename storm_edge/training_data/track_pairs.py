"""`storm-edge data pairs`: crops of a tracked recording, paired with the crop of the registration before them.

The crop in question is cut where the run put the object in that frame; beside it, the pose of some frames before is
cut as well, as a track that stays behind would have it. Where the scene has labels they say whether a pose is right:
its points are off by less than a tenth of the diameter, symmetries counted. Elsewhere the run's own verdict does, as
upstream goes by that of its verifier: right while TRACKING, lost in the SUSPECT frames before a track was given up.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.images import write_png
from storm_edge.bop.scene import BopScene
from storm_edge.errors import InputError, mismatch
from storm_edge.evaluate.predictions import Prediction
from storm_edge.frame import Frame
from storm_edge.imagenet import IMAGENET_MEAN, IMAGENET_STD
from storm_edge.live.track_report import TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.instances import model_name
from storm_edge.parsing import parse_json
from storm_edge.pipeline.verify.crop_encoders import box_crop
from storm_edge.replay.scene import Scene
from storm_edge.result_folder import atomic_folder
from storm_edge.result_kind import MADE_BY, ResultKind
from storm_edge.training_data.pair_file import PAIRS
from storm_edge.training_data.pose_verdict import Truth, Verdict

Float64 = NDArray[np.float64]
CROPS = "crops"
_NEAR_M = 0.01  # as the verifier: nearer corners leave no crop


def _crops(folder: Path, content: Mapping[str, Any]) -> Iterator[str]:
    """The pictures that the pairs name."""
    try:
        for line in (folder / PAIRS).read_text(encoding="utf-8").splitlines():
            entry = parse_json(line)
            yield from (entry["a"], entry["b"])
    except (OSError, ValueError, KeyError, TypeError):
        return


PAIR_SET = ResultKind(
    command="storm-edge data pairs",
    marker="summary.json",
    keys=frozenset({"scene", "pairs", "labelled_by"}),
    names=frozenset({PAIRS}),
    folders=frozenset({CROPS}),
    listed=_crops,
)
"""Of `data pairs`."""


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """How pairs are made."""

    lag: int = 15
    """Beside the pose of a frame, that of so many frames before is cut, as of a track that stays behind; 0: none."""
    every: int = 1
    """Every how many frames a pair is made."""
    right_share: float = 0.1
    """A pose is right where its points are off by less than this share of the diameter (upstream's ``max_ratio``)."""


@dataclass(frozen=True, kw_only=True)
class PairSet:
    """What was made."""

    right: int
    """Pairs with label 1."""
    lost: int
    """Pairs with label 0."""
    labelled_by: str
    """``ground truth``, or ``the run's verdict``."""


@dataclass(kw_only=True)
class _Cutter:
    """Cuts crops of one object and keeps each once."""

    folder: Path
    name: str
    bundle: ObjectBundle
    corners: Float64 = field(init=False)
    written: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        spans = np.stack(self.bundle.mesh.bounds()).astype(np.float64).T
        self.corners = np.array(list(itertools.product(*spans)))

    def cut(self, frame: Frame, T_cam_obj: Float64, ending: str = "") -> str | None:
        """The file of a crop; None where the pose leaves nothing to cut."""
        T_cam_centre = T_cam_obj @ self.bundle.T_obj_centre
        crop = box_crop(frame.rgb, np.asarray(frame.K), T_cam_centre, self.corners, near_m=_NEAR_M)
        if crop is None:
            return None
        name = f"{CROPS}/{frame.index:06d}_{self.name.replace('#', '_')}{ending}.png"
        if name not in self.written:
            picture = np.moveaxis(crop, 0, -1) * IMAGENET_STD + IMAGENET_MEAN
            write_png(self.folder / name, np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8))
            self.written.add(name)
        return name


def make_pairs(
    scene: Scene,
    predictions: Sequence[Prediction],
    bundles: Sequence[ObjectBundle],
    out: Path,
    *,
    options: PairOptions | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PairSet:
    """Make the pairs of a recording.

    Args:
        scene: The recording; labels are used where it has some.
        predictions: Of `storm-edge track` over it.
        bundles: The objects.
        out: Folder of the pairs.
        options: How they are made.
        force: Whether other files may be in the folder.
        progress: Receives frames done and frames in all.

    Raises:
        InputError: An object was not tracked, or there is not one pair.
        OutputError: The folder cannot be written.
    """
    options = options or PairOptions()
    by_name = {bundle.object_id: bundle for bundle in bundles}
    tracks: dict[str, dict[int, Prediction]] = {}
    for answer in predictions:
        if model_name(answer.object_id) in by_name:
            tracks.setdefault(answer.object_id, {})[answer.frame_id] = answer
    for name in by_name:
        if not any(model_name(track) == name for track in tracks):
            got = "tracks of " + (", ".join(sorted({p.object_id for p in predictions})) or "nothing")
            raise InputError(mismatch("the run", got, f"tracks of {name}", "name the objects that were tracked"))
    labelled = scene if isinstance(scene, BopScene) and scene.has_ground_truth else None
    with atomic_folder(out, PAIR_SET, force=force) as folder:
        (folder / CROPS).mkdir()
        lines: list[dict[str, Any]] = []
        total, done = len(tracks) * len(scene.frame_ids), 0
        for name, track in tracks.items():
            bundle = by_name[model_name(name)]
            cutter = _Cutter(folder=folder, name=name, bundle=bundle)
            share = options.right_share
            truth = None if labelled is None else Truth(labelled, bundle, share)
            for found in _pairs_of(scene, track, cutter, truth or Verdict(track, bundle, share), options):
                lines += found
                progress(done := done + 1, total)
        return _write(folder, scene, lines, "the run's verdict" if labelled is None else "ground truth")


def _write(folder: Path, scene: Scene, lines: list[dict[str, Any]], labelled_by: str) -> PairSet:
    right = sum(line["label"] for line in lines)
    if not lines:
        expected = "tracked frames after a registration"
        raise InputError(mismatch("the run", "no pair", expected, "use a run that tracked the object"))
    named = {line[side] for line in lines for side in "ab"}
    for path in (folder / CROPS).iterdir():  # of registrations that no frame followed
        if f"{CROPS}/{path.name}" not in named:
            path.unlink()
    (folder / PAIRS).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    content = {
        MADE_BY: PAIR_SET.made_by,
        "scene": scene.path.name if isinstance(scene, BopScene) else "",
        "pairs": len(lines),
        "right": right,
        "labelled_by": labelled_by,
    }
    (folder / PAIR_SET.marker).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return PairSet(right=right, lost=len(lines) - right, labelled_by=labelled_by)


def _pairs_of(
    scene: Scene,
    track: Mapping[int, Prediction],
    cutter: _Cutter,
    verdict: Callable[[int, Float64, int], bool | None],
    options: PairOptions,
) -> Iterator[list[dict[str, Any]]]:
    """The pairs of every frame of one object; an empty list for frames without one."""
    memory: str | None = None
    was_tracking = False
    for place, frame_id in enumerate(scene.frame_ids):
        answer = track.get(frame_id)
        if answer is None or answer.T_cam_obj is None:
            was_tracking = False
            yield []
            continue
        begins = answer.state == TrackState.TRACKING.value and (memory is None or not was_tracking)
        was_tracking = was_tracking or begins
        if not begins and (memory is None or place % options.every):
            yield []
            continue
        frame = scene.frame(frame_id)
        if begins:  # a registration: the crop that later ones are compared with, if it is right
            right = verdict(frame_id, answer.T_cam_obj, frame_id)
            memory = cutter.cut(frame, answer.T_cam_obj) if right else memory
            yield []
            continue
        earlier = track.get(scene.frame_ids[place - options.lag]) if 0 < options.lag <= place else None
        found = []
        for given, ending in ((answer, ""), (earlier, "_behind")):
            if given is None or given.T_cam_obj is None:
                continue
            label = verdict(frame_id, given.T_cam_obj, given.frame_id)
            crop = None if label is None else cutter.cut(frame, given.T_cam_obj, ending)
            if crop is not None:
                found.append({"a": crop, "b": memory, "label": int(bool(label))})
        yield found
