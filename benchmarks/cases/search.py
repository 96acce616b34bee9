"""Is the object found by its model alone? Held-out clutter, with and without the object in the picture.

    python -m benchmarks run search [--scenes 50] [--split dev] [--bundle nano | --colour] [--jobs 1]

Each picture shows 5 to 8 objects that training never saw. One of them is looked for, and one that is absent. Reported
are the overlap with the truth of the segmenter's best mask, as first segmented and after tiled inference, and of the
verified one, and how well the presence probability tells present from absent: with a threshold at which at most 5 %
of the objects that are there are missed, and the same where a wrong place counts as missed, too. ``--colour`` leaves
the network out. Both the time of all threads of a search and the time that passes are given; the second says nothing
where something else runs beside.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum
from functools import cache
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.registry import NetworkOptions, Outcome, case
from benchmarks.timing import BOTH_TAILS
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.evaluate.metrics import ModelPoints, mask_iou
from storm_edge.geometry.viewsphere import reduce_by_symmetry, rotation_grid
from storm_edge.kernels.host_threads import launching_on
from storm_edge.objects.bundle import ModelSource, ObjectBundle
from storm_edge.objects.near_symmetry import near_symmetries
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.objects.viewpoints import build_viewpoints
from storm_edge.percentiles import percentiles
from storm_edge.pipeline.config import PipelineConfig
from storm_edge.pipeline.detect.candidate_scoring import prior_logit
from storm_edge.pipeline.detect.config import DetectConfig
from storm_edge.pipeline.detect.detection import Detection, DetectionResult
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.detect.shape_evidence import ShapeEvidence
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.segment.config import SegmentConfig, Source
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.synthetic.clutter import evaluation_clutter
from storm_edge.synthetic.object_pool import PooledObject
from storm_edge.synthetic.splits import SEARCHES_DEV, SEARCHES_TEST, SEARCHES_VAL

MIN_VISIBLE = 0.5
MIN_PX = 500
OTHER_SIDE_FROM = 0.12
"""ADD over the diameter from which a pose shows another side."""


class SearchSplit(str, Enum):
    """Which pictures."""

    DEV = "dev"
    """Those that rules are chosen by."""
    VAL = "val"
    """Those that check them."""
    TEST = "test"
    """Those that nothing is chosen by: looked at once per release."""


_RANGES = {SearchSplit.DEV: SEARCHES_DEV, SearchSplit.VAL: SEARCHES_VAL, SearchSplit.TEST: SEARCHES_TEST}


@cache
def full_grid() -> np.ndarray:
    """The rotation grid of objects without symmetry; reducing it by nothing takes its time."""
    return reduce_by_symmetry(rotation_grid(), np.eye(4)[None])


def bundle_of(item: PooledObject) -> ObjectBundle:
    """Onboard an object from memory: as from a file, but with the sparse views of 42 directions instead of 642."""
    truth = item.truth
    lone = len(truth.symmetries) == 1
    return ObjectBundle(
        object_id=f"obj_{truth.seed:09d}",
        mesh=truth.mesh,
        mesh_lod=truth.mesh,
        diameter_m=truth.diameter_m,
        T_obj_centre=np.eye(4),
        symmetries=truth.symmetries,
        rotation_grid=full_grid() if lone else reduce_by_symmetry(rotation_grid(), truth.symmetries),
        viewpoints=build_viewpoints(truth.mesh, subdivisions=1),
        stored_near_symmetries=near_symmetries(truth.mesh),
        source=ModelSource(name=f"seed {truth.seed}", sha256=f"{truth.seed:064x}", unit="m"),
    )


@dataclass(frozen=True, kw_only=True)
class Task:
    """One picture, and how many objects are looked for in it."""

    seed: int
    networks: str | None
    threads: int
    there: int = 1
    absent: int = 1
    config: DetectConfig = field(default_factory=DetectConfig)


def search_scene(task: Task) -> list[dict[str, Any]]:
    """Look for objects that are there, as far as so many are to be seen, and for some that are absent."""
    bundle = None if task.networks is None else NetworkBundle.load(task.networks)
    source = Source.COLOUR if bundle is None else Source.NETWORK
    segmenter = Segmenter(bundle, config=SegmentConfig(source=source))
    clutter, absent = next(evaluation_clutter(1, task.seed))
    usable = [
        k
        for k in range(len(clutter.things))
        if clutter.visible_share[k] >= MIN_VISIBLE
        and clutter.masks_visib[k].sum() >= MIN_PX
        and clutter.things[k].truth.seed >= 0
    ]
    asked: list[tuple[PooledObject, int | None]] = [(item, None) for item in absent[: task.absent]]
    if usable:
        first = task.seed % len(usable)
        asked += [(clutter.things[k], k) for k in (usable[first:] + usable[:first])[: task.there]]
    buffers = FrameBuffers(*clutter.frame.size_px)
    buffers.upload(clutter.frame)
    out = []
    for item, k in asked:
        truth = None if k is None else clutter.masks_visib[k]
        T_true = None if k is None else clutter.T_cam_obj[k]
        detector = Detector(ObjectOnDevice(bundle_of(item)), segmenter, networks=bundle, config=task.config)
        started = time.process_time()
        segmentation = segmenter.segment(segmenter.encode_image(clutter.frame), detector.embedding)
        segment_s = time.process_time() - started
        started, started_wall = time.process_time(), time.perf_counter()
        with launching_on(task.threads):
            search = detector.detect(clutter.frame, buffers)
        search_s = time.perf_counter() - started_wall
        row: dict[str, Any] = {
            "scene": task.seed,
            "there": truth is not None,
            "object": item.truth.seed,
            "paint": item.truth.paint,
            "present": segmentation.score,
            "score": segmentation.best.score if segmentation.best else 0.0,
            "candidates": len(search.segmentation.candidates),
            "presence_probability": search.presence_probability,
            "believed": search.found is not None,
            "segment_cpu_s": segment_s,
            "search_cpu_s": time.process_time() - started,
            "search_s": search_s,
            "tried": [
                {
                    "iou": 0.0 if truth is None else mask_iou(detection.mask, truth),
                    "presence_probability": detection.presence_probability,
                    "score": detection.candidate.score,
                    **asdict(detection.features),
                }
                for detection in search.detections
            ],
            "scored": [
                {
                    "iou": 0.0 if truth is None else mask_iou(one.mask, truth),
                    "side": int(T_true is None or shows_its_side(item, T_true, one.T_cam_centre)),
                    **scored(one, search),
                }
                for one in search.tried
            ],
            "looked": [
                {
                    "iou": 0.0 if truth is None else mask_iou(one.mask, truth),
                    "side": int(T_true is None or shows_its_side(item, T_true, one.T_cam_centre)),
                    **asdict(one.look),
                }
                for one in search.detections
                if one.look is not None
            ],
        }
        if truth is not None:
            ious = [mask_iou(c.mask, truth) for c in search.segmentation.candidates]
            row |= {
                "iou_first": mask_iou(segmentation.best.mask, truth) if segmentation.best else 0.0,
                "iou_segment": ious[0] if ious else 0.0,
                "iou_any": max(ious, default=0.0),
                "iou_verified": mask_iou(search.found.mask, truth) if search.found else 0.0,
                "iou_best": mask_iou(search.detections[0].mask, truth) if search.detections else 0.0,
            }
        out.append(row)
    return out


def shows_its_side(item: PooledObject, T_true: np.ndarray, T_cam_obj: np.ndarray) -> bool:
    """Whether a pose is no other side of an object whose paint tells its sides apart."""
    truth = item.truth
    if not truth.pose_is_unique:
        return True
    model = ModelPoints(truth.mesh.vertices, truth.symmetries)
    return model.add_symmetric(T_true, T_cam_obj) < OTHER_SIDE_FROM * truth.diameter_m


def scored(detection: Detection, search: DetectionResult) -> dict[str, float]:
    """All that a pose's presence probability is made of; the network's word as a logit."""
    evidence = {known.name: 0.0 for known in fields(ShapeEvidence)}
    if detection.evidence is not None:
        evidence = asdict(detection.evidence)
    once = replace(DetectConfig().presence, network_weight=1.0)
    return {
        **asdict(detection.features),
        **evidence,
        "network": prior_logit(search.segmentation.presence_probability, once),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The figures of the table."""
    there = [r for r in rows if r["there"]]
    absent = [r for r in rows if not r["there"]]
    yes, no = (
        np.array([r["presence_probability"] for r in there]),
        np.array([r["presence_probability"] for r in absent]),
    )
    right = np.array([r["presence_probability"] if r["iou_best"] > 0.5 else 0.0 for r in there])
    difference = yes[:, None] - no[None, :]
    figures = {name: float(np.mean([r[name] for r in there])) for name in there[0] if name.startswith("iou")}
    return {
        **figures,
        "right_place": float(np.mean([r["iou_best"] > 0.5 for r in there])),
        "found": float(np.mean([r["iou_verified"] > 0.0 for r in there])),
        "absent_right": float(np.mean([not r["believed"] for r in absent])),
        "presence_auroc": float(((difference > 0) + 0.5 * (difference == 0)).mean()),
        "absent_right_at_5_percent_misses": float((no < _missing_few(yes)).mean()),
        "absent_right_at_5_percent_misses_or_wrong": float((no < _missing_few(right)).mean()),
        "segment_cpu_s": float(np.median([r["segment_cpu_s"] for r in rows])),
        "search_cpu_s": float(np.median([r["search_cpu_s"] for r in rows])),
        "search_cpu_s_there": float(np.median([r["search_cpu_s"] for r in there])),
        "search_cpu_s_absent": float(np.median([r["search_cpu_s"] for r in absent])),
        "search_s_there": float(np.median([r["search_s"] for r in there])),
        "search_s_absent": float(np.median([r["search_s"] for r in absent])),
    }


def _missing_few(probabilities: np.ndarray) -> float:
    """The highest threshold below which at most 5 % of them are."""
    return float(np.sort(probabilities)[int(0.05 * len(probabilities))])


@dataclass(frozen=True, kw_only=True)
class SearchOptions(NetworkOptions):
    """Which pictures are searched."""

    scenes: Annotated[int, typer.Option(help="How many pictures.")] = 50
    first: Annotated[int, typer.Option(help="Number of the first picture.")] = 0
    split: Annotated[SearchSplit, typer.Option(help="Which pictures.")] = SearchSplit.DEV
    colour: Annotated[bool, typer.Option("--colour", help="Leave the network out.")] = False
    there: Annotated[int, typer.Option(help="Objects looked for in each that are there.")] = 1
    absent: Annotated[int, typer.Option(help="And those that are not.")] = 1
    jobs: Annotated[int, typer.Option(help="Processes.")] = 1
    threads: Annotated[int, typer.Option(help="Threads of a search.")] = PipelineConfig().search_threads


@case(record="search")
def search(options: SearchOptions) -> Outcome:
    """Look for an object that is in the picture, and for one that is not."""
    rows = search_all(options)
    figures = summary(rows)
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}")
    Console().print(table)
    spread = {
        name: percentiles(
            [row["presence_probability"] for row in rows if row["there"] is there], BOTH_TAILS, digits=4
        )
        for name, there in (("there", True), ("absent", False))
    }
    source = "colour" if options.colour else options.bundle
    return Outcome(
        summary={"source": source, "threads": options.threads, **figures, "presence_probability": spread}, rows=rows
    )


def search_all(options: SearchOptions, config: DetectConfig | None = None) -> list[dict[str, Any]]:
    """Rows of all pictures, searched as shipped or by another configuration."""
    tasks = [
        Task(
            seed=_RANGES[options.split].seed(options.first + i),
            networks=None if options.colour else options.bundle,
            threads=options.threads,
            there=options.there,
            absent=options.absent,
            config=config or DetectConfig(),
        )
        for i in range(options.scenes)
    ]
    if options.jobs > 1:
        with ProcessPoolExecutor(options.jobs) as pool:
            done = list(track(pool.map(search_scene, tasks), total=len(tasks)))
    else:
        done = [search_scene(task) for task in track(tasks)]
    return [row for part in done for row in part]
