"""Estimate: every object in every image of a scene is registered anew from a mask, without memory of other images.

Each image is in a journal before the next begins, so that a run that was killed goes on there. The result folder has
poses as a BOP result file and as `scene_pred.json`; it appears when the scene is done.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.results import BopEstimate, write_bop_csv
from storm_edge.bop.scene import BopScene
from storm_edge.bop.scene_pred import SCENE_PRED, write_scene_pred
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.environment import versions
from storm_edge.errors import ConfigError, MaskError, UnitError, mismatch
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import invert
from storm_edge.interruption import Interruption
from storm_edge.kernels.host_threads import launching_on
from storm_edge.live.config import StormConfig
from storm_edge.live.frame_gate import SkipReason
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.percentiles import percentiles
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.register.registrar import Registrar
from storm_edge.replay.frame_reader import FrameReader
from storm_edge.replay.journal import Journal
from storm_edge.replay.mask_search import SharedUpload
from storm_edge.replay.mask_sources import MaskSource
from storm_edge.replay.result_kinds import BOP_RESULTS, ESTIMATE
from storm_edge.replay.summary import SUMMARY, write_summary
from storm_edge.result_folder import atomic_folder
from storm_edge.thread_limit import usable_threads

Float64 = NDArray[np.float64]
NO_MASK, NOT_REGISTERED = "no_mask", "not_registered"
"""Why an object has no pose."""


class Estimator:
    """Registers objects; what one takes is made once and kept for all scenes.

    Args:
        networks: For registration, if its schedule asks networks.
        config: Its schedule is `register`.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:<i>"``.
    """

    def __init__(self, networks: NetworkBundle | None, config: StormConfig, *, device: str = "cpu") -> None:
        self.networks, self.config, self.device = networks, config, device
        self._upload = SharedUpload(device)
        self._registrars: dict[str, Registrar] = {}

    def estimate(self, frame: Frame, bundle: ObjectBundle, mask: NDArray[np.bool_]) -> Float64 | None:
        """``T_cam_obj`` ``(4, 4)``; None where the mask cannot be registered."""
        if bundle.object_id not in self._registrars:
            self._registrars[bundle.object_id] = Registrar(
                ObjectOnDevice(bundle, self.device, as_upstream=self.config.as_upstream),
                self.networks,
                config=self.config.register,
                geometry=self.config.refine,
                options=EngineOptions(device=self.device),
            )
        registrar = self._registrars[bundle.object_id]
        try:
            with launching_on(usable_threads(self.config.search_threads)):
                found = run_to_completion(registrar.chunks(self._upload(frame), mask))
        except (MaskError, UnitError):  # too few pixels, or a mask of something else
            return None
        return np.asarray(found.T_cam_centre @ invert(bundle.T_obj_centre))


@dataclass(frozen=True, kw_only=True)
class EstimateRun:
    """What came out of a scene."""

    summary: dict[str, Any]
    """The content of `summary.json`."""
    folder: Path
    """Where it lies."""


def estimate_scene(
    scene: BopScene,
    bundles: Sequence[ObjectBundle],
    estimator: Estimator,
    masks: MaskSource,
    out: Path,
    *,
    journal: Path,
    every: int = 1,
    only: Collection[int] | None = None,
    about: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EstimateRun:
    """Register ``bundles`` in every image of a scene.

    Args:
        scene: The recording.
        bundles: Objects with BOP numbers in their names; one that is listed twice is looked for twice in an image
            that has no label.
        estimator: Registers.
        masks: Where masks come from.
        out: Result folder.
        journal: File of what is done so far.
        every: Every how many images.
        only: Numbers of the images that are wanted; None for all.
        about: Further entries of the summary.
        progress: Called with images done and in all.

    Raises:
        ConfigError: An object has no number.
        StormEdgeError: A mask is missing or of another image, or no image can be used; the journal keeps what is
            done.
        KeyboardInterrupt: Ctrl-C, likewise.
    """
    counts = Counter(bundle.object_id for bundle in bundles)
    objects = list({bundle.object_id: bundle for bundle in bundles}.values())
    _require_numbers(objects)
    frame_ids = [i for i in scene.frame_ids if only is None or i in only][::every]
    reader = FrameReader(scene, estimator.config.frame_gate)
    with Journal(journal) as kept:
        done = {entry["frame"] for entry in kept.entries}
        for number, frame_id in enumerate(frame_ids, start=1):
            if frame_id in done:
                continue
            frame = reader.read(frame_id)
            if isinstance(frame, SkipReason):
                continue
            entry = _estimate_image(scene, frame, objects, counts, estimator, masks)
            with Interruption(held=True):
                kept.write(entry)
            if progress is not None:
                progress(number, len(frame_ids))
        if not done:
            reader.check_used()
        entries = sorted(kept.entries, key=lambda entry: int(entry["frame"]))
        summary = _summary(scene, objects, estimator, entries)
        summary |= {"faults": {"frames": reader.report}, **(about or {})}
        _write(out, scene, entries, summary)
    return EstimateRun(summary=summary, folder=out)


def _require_numbers(objects: Sequence[ObjectBundle]) -> None:
    for bundle in objects:
        if bundle.bop_id is None:
            expected, remedy = "a name with a BOP number", "onboard it with --id obj_NNNNNN"
            raise ConfigError(mismatch(f"object '{bundle.object_id}'", "no number", expected, remedy))


def _estimate_image(
    scene: BopScene,
    frame: Frame,
    objects: Sequence[ObjectBundle],
    counts: Counter[str],
    estimator: Estimator,
    masks: MaskSource,
) -> dict[str, Any]:
    """The journal's entry of one image; JSON types."""
    before = {} if estimator.networks is None else estimator.networks.launch_counts.by_network()
    labels = scene.ground_truth(frame.index) if scene.is_labelled(frame.index) else None
    estimates: list[dict[str, Any]] = []
    missed: Counter[str] = Counter()
    spent_s = 0.0
    for bundle in objects:
        count = counts[bundle.object_id]
        if labels is not None:
            count = sum(label.object_id == bundle.bop_id for label in labels)
        if not count:
            continue
        given = masks.masks(frame, bundle, count)
        missed[NO_MASK] += count - len(given)
        for mask in given:
            started = time.perf_counter()
            T = estimator.estimate(frame, bundle, mask.mask)
            register_s = time.perf_counter() - started
            spent_s += register_s + mask.time_s
            missed[NOT_REGISTERED] += T is None
            if T is not None:
                pose = {"object": bundle.bop_id, "score": mask.score, "T_cam_obj": T.tolist()}
                estimates.append({**pose, "register_ms": register_s * 1e3, "mask_ms": mask.time_s * 1e3})
    return {
        "frame": frame.index,
        "estimates": estimates,
        "missed": {name: missed[name] for name in (NO_MASK, NOT_REGISTERED)},
        "launches": {} if estimator.networks is None else estimator.networks.launches_since(before),
        "time_s": spent_s,
    }


def _summary(
    scene: BopScene, objects: Sequence[ObjectBundle], estimator: Estimator, entries: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The content of `summary.json`."""
    from storm_edge.live.schedules import schedule_name

    networks = estimator.networks
    launches: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for entry in entries:
        launches.update(entry["launches"])
        missed.update(entry["missed"])
    every = [estimate for entry in entries for estimate in entry["estimates"]]
    return {
        "made_by": ESTIMATE.made_by,
        "scene": scene.path.name,
        "objects": [bundle.object_id for bundle in objects],
        "frame_count": len(entries),
        "pose_count": len(every),
        "missed": {name: missed[name] for name in (NO_MASK, NOT_REGISTERED)},
        "engines": {
            "schedule": schedule_name(estimator.config),
            "launches": {name: launches[name] for name in (() if networks is None else networks.networks)},
        },
        "bundle": "none" if networks is None else networks.name,
        "backend": None if networks is None else networks.backend.value,
        "device": estimator.device,
        "latency_ms": {kind: percentiles([e[f"{kind}_ms"] for e in every]) for kind in ("register", "mask")},
        "versions": versions(),
        "ended_by": None,
    }


def _write(out: Path, scene: BopScene, entries: Sequence[dict[str, Any]], summary: dict[str, Any]) -> None:
    """The result folder; files of poses only where there are some."""
    estimates = [
        BopEstimate(
            scene_id=int(scene.path.name) if scene.path.name.isdecimal() else 0,
            image_id=entry["frame"],
            object_id=estimate["object"],
            score=estimate["score"],
            T_cam_obj=np.array(estimate["T_cam_obj"]),
            time_s=entry["time_s"],
        )
        for entry in entries
        for estimate in entry["estimates"]
    ]
    with atomic_folder(out, ESTIMATE) as folder:
        if estimates:
            write_bop_csv(folder / BOP_RESULTS, estimates)
            write_scene_pred(folder / SCENE_PRED, estimates)
        write_summary(folder / SUMMARY, summary)
