"""What do the colours that tracking learned bring to a search? Pictures after a loss.

    python -m benchmarks run colours SETS [--count 100] [--first 0] [--bundle nano] [--jobs 2]

Each recording of `recovery` (made where it is missing) is followed until the object is lost. Then the segmenter
is asked for it in three pictures, 8 frames apart, from where 60 % of it are visible again: by its map alone, and with
the colours that were learned up to the loss. A candidate is right if its mask overlaps the truth by half.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import track

from benchmarks.recordings import FIRST_SEED, onboarded, recovery_scene
from benchmarks.registry import Outcome, RecordingOptions, case
from storm_edge.bop.scene import BopScene
from storm_edge.choices import Init
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import MaskError
from storm_edge.evaluate.metrics import mask_iou
from storm_edge.live.factory import make_object_sessions
from storm_edge.live.track_report import TrackState
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.replay.follow import follow

CLEARLY = 0.6
STEP, PICTURES = 8, 3
RIGHT = 0.5
WAYS = ("map alone", "with colours")


def run_one(task: tuple[Path, int, str]) -> list[tuple[list[float], list[float]]]:
    """Overlaps of the candidates of each picture, best first, by both ways; nothing where it was never lost."""
    sets, number, name = task
    path = recovery_scene(sets, number)
    scene, bundle, networks = BopScene(path), onboarded(path), NetworkBundle.load(name)
    (loop,) = make_object_sessions([bundle], networks)
    lost = None
    try:
        for frame, (said,) in follow(scene, [loop], init=Init.MASK):
            if said.state is TrackState.LOST:
                lost = frame.index
                break
    except MaskError:  # an object that shows no depth
        return []
    track_prior = loop.track_prior
    if lost is None or track_prior is None:
        return []
    segmenter = Segmenter(networks)
    embedding = segmenter.encode_object(ObjectOnDevice(bundle))
    shares = [scene.mask_visib(i).sum() / max(scene.mask(i).sum(), 1) for i in scene.frame_ids]
    hidden = next((i for i in range(lost, len(shares)) if shares[i] == 0.0), len(shares))
    back = next((i for i in range(hidden, len(shares)) if shares[i] >= CLEARLY), len(shares))
    found = []
    for i in range(back, min(back + STEP * PICTURES, len(shares)), STEP):
        image, truth = segmenter.encode_image(scene.frame(i)), scene.mask_visib(i)
        alone, both = (
            segmenter.segment(image, embedding),
            segmenter.segment(image, embedding, track_prior.colour_log_odds),
        )
        found.append(
            ([mask_iou(c.mask, truth) for c in alone.candidates], [mask_iou(c.mask, truth) for c in both.candidates])
        )
    return found


@dataclass(frozen=True, kw_only=True)
class ColourOptions(RecordingOptions):
    """How many processes share the work."""

    jobs: Annotated[int, typer.Option(help="Processes.")] = 2


@case(record="colours")
def colours(options: ColourOptions) -> Outcome:
    """Segment pictures after a loss, with and without the colours that tracking learned."""
    tasks = [(options.sets, options.first + i, options.bundle) for i in range(options.count)]
    with multiprocessing.get_context("spawn").Pool(min(options.jobs, options.count)) as pool:
        done = list(track(pool.imap(run_one, tasks), "recordings", total=len(tasks)))
    pictures = [picture for found in done for picture in found]
    report: dict[str, object] = {"pictures": len(pictures), "right_from_iou": RIGHT}
    for way, overlaps in zip(WAYS, zip(*pictures, strict=True), strict=True):
        first = np.mean([bool(ious) and ious[0] >= RIGHT for ious in overlaps])
        some = np.mean([max(ious, default=0.0) >= RIGHT for ious in overlaps])
        best = np.mean([max(ious[:2], default=0.0) for ious in overlaps])
        report[way] = {
            "first_right": round(float(first), 4),
            "one_right": round(float(some), 4),
            "mean_iou_better_of_two": round(float(best), 4),
        }
        print(f"{way}: first right {first:.1%}, one right {some:.1%}, better of the first two overlaps by {best:.3f}")
    return Outcome(summary={"bundle": options.bundle, "first_seed": FIRST_SEED + options.first, **report})
