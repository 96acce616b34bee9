"""The bundle in the package: whole, small, and as good as its model card says on a few held-out objects."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.data.synthetic.objects import HELD_OUT_FROM
from storm_edge.data.synthetic.pairs import PairConfig, PairSampler
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.scoring import open_scorer


@pytest.fixture(scope="module")
def sampler() -> PairSampler:
    return PairSampler(HELD_OUT_FROM + 7, config=PairConfig(pool_size=12, poses_per_scene=1))


@pytest.fixture(scope="module")
def bundle() -> NetworkBundle:
    return NetworkBundle.load("nano")


def test_refine_and_score_stay_within_twelve_megabytes(bundle: NetworkBundle) -> None:
    names = ("refine", "score_features", "score_attention")
    assert sum(bundle.networks[name].path.stat().st_size for name in names) < 12e6
    assert (bundle.folder / "MODEL_CARD.md").is_file()


def test_refine_brings_far_hypotheses_nearer(bundle: NetworkBundle, sampler: PairSampler) -> None:
    """The card says 16 % of the diameter before and 7 % after; held to two thirds on 96 pairs."""
    batch = sampler.refine_batch(96)
    out = bundle.open("refine").run({"rendered": batch["rendered"], "observed": batch["observed"]})
    before = np.linalg.norm(batch["trans_target"], axis=1)
    after = np.linalg.norm(batch["trans_target"] - out["trans"], axis=1)
    far = before > 0.2
    assert far.sum() > 20
    assert after[far].mean() < 0.67 * before[far].mean()


def test_score_picks_a_better_hypothesis_than_chance(bundle: NetworkBundle, sampler: PairSampler) -> None:
    """The card says 94 % of winners are within a tenth of the diameter; held to 75 % of 16 sets, chance is 42 %."""
    sets, hypotheses = 16, 12
    batch = sampler.score_batch(sets, hypotheses)
    scorer = open_scorer(bundle, capacity=hypotheses)
    winners = []
    for rendered, observed, error in zip(batch["rendered"], batch["observed"], batch["add_error"], strict=True):
        scorer.bind(np.ascontiguousarray(rendered), np.ascontiguousarray(observed))
        scorer.add(hypotheses)
        winners.append(error[np.argmax(scorer.scores())])
    assert np.mean(np.array(winners) < 0.1) >= 0.75
