"""Scores of a bundle's verifier for pairs of crops: TOM's probability, or the cosine of two embeddings.

Of the full tier alone: its networks read RGB pictures, ours read crops with depth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.errors import EngineError, mismatch
from storm_edge.pipeline.verify.config import VerifyConfig
from storm_edge.training_data.pair_file import CropPair, read_crop

_PAIR = ("tom_encode", "tom_compare")
_SIMILARITY = "similarity"


@dataclass(frozen=True, kw_only=True)
class PairScores:
    """What a verifier says of pairs."""

    kind: str
    """``probability`` or ``cosine``."""
    scores: NDArray[np.float64]
    """One per pair, ``(N,)``; NaN where the network gave no number."""
    threshold: float
    """From which upstream's loop takes a pair for the same object."""
    times_s: NDArray[np.float64]
    """Time per pair without reading its pictures [s], ``(N,)``: both are encoded and compared."""


def score_pairs(
    pairs: Sequence[CropPair],
    networks: NetworkBundle,
    *,
    options: EngineOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PairScores:
    """Ask the verifier about every pair, one after the other.

    Args:
        pairs: What is asked.
        networks: Bundle of tier ``full`` with TOM, or with the similarity network.
        options: Where and how the engines run.
        progress: Called with pairs done and in all.

    Raises:
        EngineError: The bundle has neither, or is of another tier.
        SceneError, FrameError: A picture cannot be read.
    """
    if networks.tier != "full":
        expected = "a bundle of tier full: other verifiers read crops with depth"
        raise EngineError(mismatch(f"bundle {networks.name}", f"tier {networks.tier}", expected, "give --bundle"))
    has_pair = networks.networks.keys() >= set(_PAIR)
    if not has_pair and _SIMILARITY not in networks.networks:
        expected, remedy = f"{' and '.join(_PAIR)}, or {_SIMILARITY}", "export TOM into the bundle"
        raise EngineError(mismatch(f"bundle {networks.name}", "no verifier", expected, remedy))
    config = VerifyConfig()
    engines = [networks.open(name, options) for name in (_PAIR if has_pair else (_SIMILARITY,))]
    scores, times_s = np.empty(len(pairs)), np.empty(len(pairs))
    for number, pair in enumerate(pairs):
        current, memory = read_crop(pair.current), read_crop(pair.memory)
        started = time.perf_counter()
        first, second = (engines[0].run({"crop": crop[None]}) for crop in (current, memory))
        if has_pair:
            compared = engines[1].run({"current": first["current"], "memory": second["memory"]})
            scores[number] = compared["logit"].reshape(-1)[0]
        else:
            scores[number] = float((first["embedding"] * second["embedding"]).sum())
        times_s[number] = time.perf_counter() - started
        if progress is not None:
            progress(number + 1, len(pairs))
    if not has_pair:
        return PairScores(kind="cosine", scores=scores, threshold=config.similarity_zero, times_s=times_s)
    threshold = float(expit(config.full_pair_zero))
    return PairScores(kind="probability", scores=np.asarray(expit(scores)), threshold=threshold, times_s=times_s)
