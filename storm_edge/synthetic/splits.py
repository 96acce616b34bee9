"""Which seeds of synthetic data are for training, development, validation and test, and what each was used for.

Everything synthetic comes from a seed, so a split is a range of seeds. Nothing is tuned on a test range: no
threshold, weight or rule was chosen by anyone who had seen a result on it, and no benchmark reads it by default.

* ``TRAIN``: networks are fitted to it, INT8 calibration included.
* ``DEV``: results on it were looked at while rules were chosen. Figures on it are not held out.
* ``VAL``: checks of trained or exported networks; a figure decides whether something passes, not how it works.
* ``TEST``: nobody has looked. A figure on it is held out, once; whoever tunes after reading one moves it to ``DEV``.

Four families of seeds have a number space each: objects, streams of batches for networks, scenes, and searches.
The scenes of seed ``s`` have the objects ``EVALUATION_FROM + 1000 * s`` and the next 999. A stream or a search draws
its objects from a range of object seeds, see `objects_of_stream` and `objects_of_search`. ``DEV`` and ``VAL`` share
objects; ``TRAIN`` and ``TEST`` share none with any other split.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

EVALUATION_FROM = 1_000_000
"""First object seed, and first seed of a stream, that no network is trained on. Model cards name it."""


class Split(str, Enum):
    """What data is for."""

    TRAIN = "train"
    """Networks are fitted to it."""
    DEV = "dev"
    """Rules and thresholds were chosen by results on it."""
    VAL = "val"
    """Checks of networks that were not fitted to it."""
    TEST = "test"
    """Nobody has looked at a result on it."""


@dataclass(frozen=True, kw_only=True)
class SeedRange:
    """Consecutive seeds with one use."""

    split: Split
    """What they are for."""
    seeds: range
    """The seeds."""
    used_for: str
    """Who reads them, and which of them were looked at."""

    @property
    def first(self) -> int:
        """The first seed."""
        return self.seeds.start

    def seed(self, index: int) -> int:
        """The seed of a number within the range.

        Args:
            index: Number from 0.

        Raises:
            ValueError: The range has no such number.
        """
        if not 0 <= index < len(self.seeds):
            raise ValueError(f"seed number {index} must be in 0..{len(self.seeds) - 1} of {self.used_for}")
        return self.seeds[index]


def _seeds(split: Split, first: int, count: int, used_for: str) -> SeedRange:
    return SeedRange(split=split, seeds=range(first, first + count), used_for=used_for)


OBJECTS_TRAIN = _seeds(Split.TRAIN, 0, EVALUATION_FROM, "objects that networks are trained on")
OBJECTS_DEV = _seeds(Split.DEV, EVALUATION_FROM, 10**6, "objects of development: streams, searches, benchmarks")
OBJECTS_TEST = _seeds(Split.TEST, 2_001_000_000, 10**6, "objects of test searches; scenes have none of them")

STREAMS_TRAIN = _seeds(Split.TRAIN, 0, EVALUATION_FROM, "training batches of networks")
STREAMS_VAL = _seeds(Split.VAL, EVALUATION_FROM, 10**6, "figures during a training run; gates of an export")
STREAMS_TEST = _seeds(Split.TEST, 2_001_000_000, 10**6, "batches of benchmark `network_tasks` at a release")

SCENES_DEV = _seeds(
    Split.DEV, 0, 10_000, "single images of benchmark `accuracy`: 0 to 963 looked at, 0 to 479 fitted to"
)
SEQUENCES_DEV = _seeds(
    Split.DEV, 10_000, 10_000, "sequences of benchmarks `accuracy` and `colourless`: 10000 to 10079 looked at"
)
RECOVERIES_DEV = _seeds(
    Split.DEV, 20_000, 10_000, "full occlusions of benchmark `recovery`: 20000 to 20405 looked at"
)
FAR_DEV = _seeds(Split.DEV, 30_000, 10_000, "recordings of benchmark `far`: 30000 to 30013 looked at")
SEQUENCES_VAL_BUNDLE = _seeds(Split.VAL, 40_000, 10_000, "sequences of benchmarks `export` and `side`")
SEQUENCES_VAL_GATE = _seeds(Split.VAL, 60_000, 10_000, "sequences of the tracking gate of an export")
SCENES_CALIBRATION = _seeds(Split.TRAIN, 500_000, 10_000, "recordings that INT8 is calibrated on")
SCENES_VAL_GATE = _seeds(Split.VAL, 700_000, 10_000, "single images of the registration gate of an export")
SCENES_TEST = _seeds(
    Split.TEST,
    1_000_000,
    10_000,
    "single images of benchmark `accuracy` at a release: the first 60, once, and 30 of them again; 60 to 619, once",
)
SEQUENCES_TEST = _seeds(
    Split.TEST,
    1_010_000,
    10_000,
    "sequences of benchmarks `accuracy` and `colourless` at a release: the first 46, once each, and 24 to 33 again",
)
RECOVERIES_TEST = _seeds(Split.TEST, 1_020_000, 10_000, "full occlusions: none looked at")

SEARCHES_DEV = _seeds(
    Split.DEV,
    0,
    10_000,
    "images of benchmark `search`: 0 to 84, 120 to 169, 200 to 259, 400 to 459, 1222 to 1254, 3000 to 3166, 3200 to "
    "4639, 5200 to 5439, 6200 to 6299 and 6400 to 6520 looked at; 300 to 334 (colours of templates), 1000 to "
    "1075, 1200 to 1221, 2000 to 2169 (marks), 5000 to 5028, 5100 to 5159 and 6000 to 6199 (closer looks) fitted to",
)
SEARCHES_VAL = _seeds(
    Split.VAL,
    20_000,
    10_000,
    "cluttered images of benchmark `network_tasks`; of `search` the first 50 three times, 50 to 109 once",
)
SEARCHES_TEST = _seeds(
    Split.TEST,
    10_000,
    10_000,
    "cluttered images of benchmarks `search` and `network_tasks` at a release: the first 60; of `search` 60 to 1109",
)

SCENE_RANGES = (
    SCENES_DEV,
    SEQUENCES_DEV,
    RECOVERIES_DEV,
    FAR_DEV,
    SEQUENCES_VAL_BUNDLE,
    SEQUENCES_VAL_GATE,
    SCENES_CALIBRATION,
    SCENES_VAL_GATE,
    SCENES_TEST,
    SEQUENCES_TEST,
    RECOVERIES_TEST,
)
"""All ranges of scene seeds; they share one number space."""


def objects_of_scene(seed: int) -> range:
    """Seeds of the objects that the scene of a seed may have, clutter included."""
    first = EVALUATION_FROM + 1000 * seed
    return range(first, first + 1000)


def objects_of_stream(seed: int) -> range:
    """Seeds of the objects that a stream of batches draws from."""
    if seed < EVALUATION_FROM:
        return OBJECTS_TRAIN.seeds
    return OBJECTS_TEST.seeds if seed in STREAMS_TEST.seeds else OBJECTS_DEV.seeds


def objects_of_search(seed: int) -> range:
    """Seeds of the objects that a cluttered image for a search draws from."""
    return OBJECTS_TEST.seeds if seed in SEARCHES_TEST.seeds else OBJECTS_DEV.seeds
