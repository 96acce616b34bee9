"""What is each network of a bundle worth, on made-up pictures and on real ones? One table of tasks, a row each.

    python -m benchmarks run network_tasks [--bundle nano] [--split val] [--scenes 40] [--real DATA]

* first look: overlap with the mask of the object of the segmenter's map, above one half, and of its first candidate;
  and whether that lies on the object.
* own axis: the true pose turned about the axis that the shape is roundest about, by 5 to 30 degrees; what is left of
  the turn after RefineNet alone.
* side: a right pose, and one turned by half about an axis of the shape; how often the right one wins: by ScoreNet,
  where the bundle has one (``nano`` has none), and by what the product asks, the judge of sides (`pipeline.side`),
  which refines both, each by the colours that it teaches. It is given the wrong pose as the one to be contradicted.
* turned: TOM compares a crop with crops of other frames, of the side that its pose claims; area under the ROC curve
  of right poses against poses that claim a side turned by 60 degrees or more. Made-up ones are groups of the
  generator.

``val`` is for choices between networks. ``test`` is looked at once for a release, after all choices. DATA is a folder
of real scenes; frames whose pose is good (classes A and B) are asked about, objects without symmetries only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.cases.search import bundle_of
from benchmarks.recordings import onboarded
from benchmarks.registry import NetworkOptions, Outcome, case
from storm_edge.bop.models import read_models_info
from storm_edge.bop.scene import BopScene
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.scorers import scorer_of
from storm_edge.errors import ConfigError, mismatch
from storm_edge.evaluate.metrics import mask_iou
from storm_edge.evaluate.recovery import auroc
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import exp_so3, rotation_angle
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.networks import PoseRefiner, PoseScorer
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.side.config import SideConfig
from storm_edge.pipeline.side.judge import SideJudge
from storm_edge.pipeline.verify.config import VerifyConfig
from storm_edge.pipeline.verify.crop_encoders import CropEncoder, EncodedCrop, open_encoder
from storm_edge.synthetic.clutter import evaluation_clutter
from storm_edge.synthetic.splits import (
    SEARCHES_DEV,
    SEARCHES_TEST,
    SEARCHES_VAL,
    STREAMS_TEST,
    STREAMS_VAL,
    SeedRange,
    Split,
)

Float64 = NDArray[np.float64]

TURNS_DEG = (5.0, 10.0, 20.0, 30.0)
"""Turns about the object's own axis that RefineNet is to take back."""
ROUNDS = 4
"""RefineNet iterations; each turns by 20 degrees at most."""
MIN_VISIBLE = 0.5
MIN_PX = 500
NEAR_DEG = 45.0
"""Remembered crops count whose pose is turned no more than this from the one that is claimed."""
LEAST_TURN_DEG = 60.0
"""A pose turned less shows much of the right side."""
_MEMORY = 4
_GROUPS = 20  # made at a time
_RANGES: dict[Split, SeedRange] = {Split.DEV: SEARCHES_DEV, Split.VAL: SEARCHES_VAL, Split.TEST: SEARCHES_TEST}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One object in one picture, and the truth about it."""

    kind: str
    """``synthetic`` or ``real``."""
    scene: str
    """Which picture or recording."""
    bundle: ObjectBundle
    """The object."""
    frame: Frame
    """The picture."""
    T_cam_centre: Float64 | None
    """True pose of the centred mesh [m] ``(4, 4)``; None where the label is not good enough."""
    mask: NDArray[np.bool_] | None
    """What is seen of the object ``(H, W)``; None where nobody marked it."""
    pose_is_unique: bool
    """Whether no other pose looks the same."""


def synthetic_samples(seeds: SeedRange, count: int) -> Iterator[Sample]:
    """One well visible object of each cluttered picture."""
    for index in range(count):
        seed = seeds.seed(index)
        clutter, _ = next(evaluation_clutter(1, seed))
        usable = [
            k
            for k in range(len(clutter.things))
            if clutter.visible_share[k] >= MIN_VISIBLE
            and clutter.masks_visib[k].sum() >= MIN_PX
            and clutter.things[k].truth.seed >= 0
        ]
        if usable:
            k = usable[seed % len(usable)]
            item = clutter.things[k]
            yield Sample(
                kind="synthetic",
                scene=str(seed),
                bundle=bundle_of(item),
                frame=clutter.frame,
                T_cam_centre=clutter.T_cam_obj[k],
                mask=clutter.masks_visib[k],
                pose_is_unique=item.truth.pose_is_unique,
            )


def real_samples(data: Path, every: int) -> Iterator[Sample]:
    """Every labelled frame of the scenes that has a mask, and every so many that has a good pose."""
    for path in sorted(p for p in data.iterdir() if (p / "scene_camera.json").is_file()):
        pseudo = "scene_gt_pseudo.json"
        scene = BopScene(path, labels=pseudo if (path / pseudo).is_file() else None)
        bundle = onboarded(path)
        good = _good_frames(path)
        info = read_models_info(scene.models_dir / "models_info.json")
        unique = not any(model.symmetries_discrete or model.symmetries_continuous for model in info.values())
        for index, frame_id in enumerate(scene.frame_ids):
            labels = scene.ground_truth(frame_id)
            mask = scene.mask_visib(frame_id) if labels and scene.has_mask(frame_id) else None
            posed = bool(labels) and (good is None or frame_id in good) and index % every == 0
            if mask is None and not posed:
                continue
            yield Sample(
                kind="real",
                scene=path.name,
                bundle=bundle,
                frame=scene.frame(frame_id),
                T_cam_centre=labels[0].T_cam_obj @ bundle.T_obj_centre if posed else None,
                mask=mask,
                pose_is_unique=unique,
            )


def _good_frames(path: Path) -> set[int] | None:
    """Frames whose pose label is of class A or B; None where no file says."""
    file = path / "pose_quality.json"
    if not file.is_file():
        return None
    content = json.loads(file.read_text(encoding="utf-8"))
    frames = content.get("frames", content)
    return {int(k) for k, v in frames.items() if k.isdigit() and v.get("quality", "A") in "AB"}


def own_axis(vertices: NDArray[np.floating]) -> Float64:
    """The principal axis ``(3,)`` about which the shape is roundest: its other two spreads are most alike."""
    centred = np.asarray(vertices, dtype=np.float64) - vertices.mean(axis=0)
    spreads, axes = np.linalg.eigh(centred.T @ centred)
    ratios = [np.log(spreads[(k + 2) % 3] / spreads[(k + 1) % 3]) for k in range(3)]
    return np.asarray(axes[:, int(np.argmin(np.abs(ratios)))])


def principal_axes(vertices: NDArray[np.floating]) -> Float64:
    """Unit axes of the shape as columns ``(3, 3)``."""
    centred = np.asarray(vertices, dtype=np.float64) - vertices.mean(axis=0)
    return np.asarray(np.linalg.eigh(centred.T @ centred)[1])


def turned(T: Float64, axis: Float64, angle_deg: float) -> Float64:
    """The object turned about an axis of its own; its centre stays."""
    out: Float64 = T.copy()
    out[:3, :3] = T[:3, :3] @ exp_so3(axis * np.deg2rad(angle_deg))
    return out


def _jittered(rng: np.random.Generator, T: Float64, diameter_m: float) -> Float64:
    """A pose as refinement leaves it: some degrees and hundredths of the diameter off."""
    out: Float64 = T.copy()
    out[:3, :3] = exp_so3(rng.normal(0.0, np.deg2rad(2.0), 3)) @ T[:3, :3]
    out[:3, 3] += rng.normal(0.0, 0.01, 3) * diameter_m
    return out


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What answers for one object; engines are opened once."""

    bundle: ObjectBundle
    """The object."""
    item: ObjectOnDevice
    """It, uploaded."""
    refine: PoseRefiner
    """RefineNet."""
    score: PoseScorer | None
    """ScoreNet, if the bundle has one."""
    crops: CropEncoder | None
    """TOM, if the bundle has one."""
    side: SideJudge
    """The judge of sides."""


class Judge:
    """Asks the networks of one bundle about samples."""

    def __init__(self, networks: NetworkBundle) -> None:
        self._networks = networks
        self._segmenter = Segmenter(networks)
        self._asked: Asked | None = None

    def _open(self, bundle: ObjectBundle) -> Asked:
        if self._asked is None or self._asked.bundle is not bundle:
            item, networks = ObjectOnDevice(bundle), self._networks
            self._asked = Asked(
                bundle=bundle,
                item=item,
                refine=PoseRefiner(item, networks, batch=2 * len(TURNS_DEG)),
                score=PoseScorer(item, networks, batch=2, capacity=2) if scorer_of(networks.networks) else None,
                crops=open_encoder(item, networks, config=VerifyConfig()),
                side=SideJudge(item, SideConfig(), None),
            )
        return self._asked

    def first_look(self, sample: Sample) -> Iterator[dict[str, Any]]:
        """Overlap of map and first candidate with the mask."""
        if sample.mask is None:
            return
        image = self._segmenter.encode_image(sample.frame)
        found = self._segmenter.segment(image, self._segmenter.encode_object(self._open(sample.bundle).item))
        whole = image.small.letterbox.enlarge(found.probability, sample.frame.size_px)
        first = 0.0 if found.best is None else mask_iou(found.best.mask, sample.mask)
        yield {
            "task": "first look",
            "iou": mask_iou(whole > 0.5, sample.mask),
            "first_iou": first,
            "on_object": first > 0.5,
        }

    def own_axis(self, sample: Sample, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        """What RefineNet leaves of a turn about the object's own axis."""
        T = sample.T_cam_centre
        if T is None or not sample.pose_is_unique:
            return
        refine = self._open(sample.bundle).refine
        axis = own_axis(sample.bundle.mesh.vertices)
        angles = [sign * angle for angle in TURNS_DEG for sign in (-1.0, 1.0)]
        poses = np.stack([turned(_jittered(rng, T, sample.bundle.diameter_m), axis, angle) for angle in angles])
        buffers = FrameBuffers(*sample.frame.size_px)
        buffers.upload(sample.frame)
        for _ in range(ROUNDS):
            poses = refine(buffers, poses)
        for angle, pose in zip(angles, poses, strict=True):
            cosine = (np.trace(pose[:3, :3] @ T[:3, :3].T) - 1.0) / 2.0
            left_deg = float(np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0))))
            yield {"task": "own axis", "turn_deg": abs(angle), "left_deg": left_deg}

    def side(self, sample: Sample, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        """Whether the right side is preferred to each of three wrong ones, by ScoreNet and by the judge of sides."""
        T = sample.T_cam_centre
        if T is None or not sample.pose_is_unique:
            return
        asked = self._open(sample.bundle)
        buffers = FrameBuffers(*sample.frame.size_px)
        buffers.upload(sample.frame)
        for axis in principal_axes(sample.bundle.mesh.vertices).T:
            right, wrong = (_jittered(rng, pose, sample.bundle.diameter_m) for pose in (T, turned(T, axis, 180.0)))
            if asked.score is not None:
                asked.score.begin()
                asked.score.add(buffers, np.stack([right, wrong]))
                logits = asked.score.scores()
                yield {"task": "side", "is_right": bool(logits[0] > logits[1])}
            learned = asked.side.appearance_at(buffers, wrong)
            _, costs, _ = asked.side.refined(sample.frame, buffers, np.stack([wrong, right]), learned)
            gain = float(costs[0] - costs[1])
            yield {"task": "side, judged", "is_right": gain > 0.0, "is_tied": abs(gain) < SideConfig().tie}

    def encoded(self, sample: Sample, T: Float64) -> tuple[CropEncoder, EncodedCrop] | None:
        """The crop at a pose; None where the bundle has no TOM or there is nothing to cut."""
        encoder = self._open(sample.bundle).crops
        buffers = FrameBuffers(*sample.frame.size_px)
        buffers.upload(sample.frame)
        crop = None if encoder is None else encoder.encode(buffers, T)
        return None if encoder is None or crop is None else (encoder, crop)

    def turned_crops(self, samples: list[Sample]) -> Iterator[dict[str, Any]]:
        """TOM's logits of right poses, and of poses that claim the side another frame of the recording shows.

        A crop does not show how its pose is turned. Both kinds are compared, as at run time, with crops of other
        frames whose pose was near to the one that is claimed.
        """
        posed = [s for s in samples if s.T_cam_centre is not None and s.pose_is_unique]
        crops = [self.encoded(s, s.T_cam_centre) for s in posed if s.T_cam_centre is not None]
        R = np.stack([s.T_cam_centre[:3, :3] for s in posed if s.T_cam_centre is not None] or [np.eye(3)])
        for own, found in enumerate(crops):
            if found is None:
                continue
            apart_deg = np.array([np.rad2deg(rotation_angle(R[own], other)) for other in R])
            for claimed in range(len(crops)):
                is_right = claimed == own
                if not is_right and apart_deg[claimed] < LEAST_TURN_DEG:
                    continue
                near_deg = np.array([np.rad2deg(rotation_angle(R[claimed], other)) for other in R])
                near = [k for k in np.argsort(near_deg) if k != own and near_deg[k] <= NEAR_DEG]
                # A crop of the very side in question would answer for both.
                if not is_right:
                    near = [k for k in near if apart_deg[k] >= LEAST_TURN_DEG]
                memory = [crops[k][1].memory for k in near[:_MEMORY] if crops[k] is not None]
                if memory:
                    logit = float(found[0].compare(found[1].current, np.stack(memory)).mean())
                    yield {"task": "turned", "is_right": is_right, "logit": logit}


def turned_groups(networks: NetworkBundle, split: Split, count: int) -> Iterator[dict[str, Any]]:
    """TOM's logits of good crops, and of crops of another side, beside good ones of the generator's groups."""
    if "tom_encode" not in networks.networks:
        return
    from storm_edge.choices import Network
    from storm_edge.generator.config import GeneratorConfig, PoolConfig, VerifyGroupConfig
    from storm_edge.generator.sources import make_source
    from storm_edge.generator.verify_groups import GOOD_COUNT

    # Few objects of each series, so that those are taken that have another side.
    groups = VerifyGroupConfig(targets=2, bad_kinds=(1.0, 0.0, 0.0, 0.0))
    config = GeneratorConfig(pool=PoolConfig(objects=96), verify=groups)
    streams = STREAMS_TEST if split is Split.TEST else STREAMS_VAL
    source = make_source(Network.TOM, seed=streams.seed(17), device="cpu", config=config)
    encode, compare = networks.open("tom_encode"), networks.open("tom_compare")
    for _ in range(-(-count // _GROUPS)):
        for crops in source.batch(_GROUPS)["crops"].numpy():
            described = encode.run({"crop": crops})
            memory = described["memory"][1:GOOD_COUNT]
            for index in (0, *range(GOOD_COUNT, len(crops))):
                current = np.repeat(described["current"][index][None], len(memory), axis=0)
                logit = float(compare.run({"current": current, "memory": memory})["logit"].mean())
                yield {"task": "turned", "is_right": index == 0, "logit": logit}


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The figures of one kind of samples; tasks that nobody was asked are left out."""
    figures: dict[str, float] = {}
    by_task: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_task.setdefault(row["task"], []).append(row)
    if looks := by_task.get("first look"):
        figures["first_look_iou"] = float(np.mean([row["iou"] for row in looks]))
        figures["first_candidate_iou"] = float(np.mean([row["first_iou"] for row in looks]))
        figures["first_candidate_on_object"] = float(np.mean([row["on_object"] for row in looks]))
    for angle in TURNS_DEG:
        left = [row["left_deg"] for row in by_task.get("own axis", []) if row["turn_deg"] == angle]
        if left:
            figures[f"own_axis_{angle:.0f}_left_deg_median"] = float(np.median(left))
    if sides := by_task.get("side"):
        figures["side_right"] = float(np.mean([row["is_right"] for row in sides]))
    if sides := by_task.get("side, judged"):
        figures["side_judged_right"] = float(np.mean([row["is_right"] for row in sides]))
        figures["side_judged_tied"] = float(np.mean([row["is_tied"] for row in sides]))
    if crops := by_task.get("turned"):
        figures["turned_auroc"] = auroc([row["logit"] for row in crops], [row["is_right"] for row in crops])
    return figures | {"questions": float(len(rows))}


@dataclass(frozen=True, kw_only=True)
class TaskOptions(NetworkOptions):
    """What is asked."""

    split: Annotated[Split, typer.Option(help="Seeds of the made-up pictures: dev, val or test.")] = Split.VAL
    scenes: Annotated[int, typer.Option(help="How many of them.")] = 40
    real: Annotated[Path | None, typer.Option(help="Folder of real scenes.", show_default=False)] = None
    every: Annotated[int, typer.Option(min=1, help="Frames of a recording between those asked about.")] = 4


@case(record="network_tasks-*")
def network_tasks(options: TaskOptions) -> Outcome:
    """Ask every network of a bundle what it is there for."""
    if options.split not in _RANGES:
        expected = ", ".join(split.value for split in _RANGES)
        raise ConfigError(
            mismatch("--split", options.split.value, expected, "networks are judged on what is held out")
        )
    networks = NetworkBundle.load(options.bundle)
    lacks = [] if scorer_of(networks.networks) else ["ScoreNet"]
    if lacks:
        print(f"bundle {networks.name} has no ScoreNet: the side is asked of the judge of sides alone")
    samples = list(track(synthetic_samples(_RANGES[options.split], options.scenes), total=options.scenes))
    if options.real is not None:
        samples += list(real_samples(options.real, options.every))
    judge, rows = Judge(networks), []
    for number, sample in enumerate(track(samples)):
        rng = np.random.default_rng([number, 17])
        told = [*judge.first_look(sample), *judge.own_axis(sample, rng), *judge.side(sample, rng)]
        rows += [{"kind": sample.kind, "scene": sample.scene, **row} for row in told]
    for scene in sorted({sample.scene for sample in samples if sample.kind == "real"}):
        of_scene = [sample for sample in samples if sample.scene == scene]
        told = list(judge.turned_crops(of_scene))
        rows += [{"kind": "real", "scene": scene, **row} for row in told]
    rows += [
        {"kind": "synthetic", "scene": "groups", **row}
        for row in turned_groups(networks, options.split, 4 * options.scenes)
    ]
    kinds = sorted({row["kind"] for row in rows})
    figures = {kind: summary([row for row in rows if row["kind"] == kind]) for kind in kinds}
    table = Table("figure", *kinds)
    for name in sorted({name for values in figures.values() for name in values}):
        table.add_row(name, *(f"{figures[kind][name]:.3f}" if name in figures[kind] else "-" for kind in kinds))
    Console().print(table)
    by_scene = {
        scene: summary([row for row in rows if row["scene"] == scene and row["kind"] == "real"])
        for scene in sorted({row["scene"] for row in rows if row["kind"] == "real"})
    }
    rounded = {name: {k: round(v, 4) for k, v in values.items()} for name, values in (figures | by_scene).items()}
    return Outcome(
        summary={"bundle": options.bundle, "lacks": lacks, "split": options.split.value, "figures": rounded},
        rows=rows,
        record=f"network_tasks-{options.split.value}",
    )
