"""The bundle in the package: whole, small, and as good as its model card says on a few held-out objects."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.evaluate.recovery import auroc
from storm_edge.pipeline.refine.set_scorer import open_scorer
from storm_edge.synthetic.pairs import PairConfig, PairSampler
from storm_edge.synthetic.queries import QueryConfig, QuerySampler
from storm_edge.synthetic.splits import STREAMS_VAL
from storm_edge.synthetic.verification import GOOD_COUNT, GroupSampler


@pytest.fixture(scope="module")
def sampler() -> PairSampler:
    return PairSampler(STREAMS_VAL.seed(7), config=PairConfig(pool_size=12, poses_per_scene=1))


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


def test_som_and_tom_stay_within_twelve_megabytes(bundle: NetworkBundle) -> None:
    names = ("som_reference", "som_query", "som_head", "tom_encode", "tom_compare")
    assert sum(bundle.networks[name].path.stat().st_size for name in names) < 12e6


def test_som_marks_the_object_and_knows_when_it_is_absent(bundle: NetworkBundle) -> None:
    """The card says IoU 0.60 and AUROC 0.92; held to 0.45 and 0.8 on 16 pictures with 3 objects each."""
    config = QueryConfig(pool_size=16, views=16, absent_share=0.4)
    batch = QuerySampler(STREAMS_VAL.seed(7), config=config).query_batch(16)
    reference, query, head = (bundle.open(f"som_{part}") for part in ("reference", "query", "head"))
    overlaps, present = [], []
    for image, objects, views, masks in zip(
        batch["image"], batch["objects"], batch["views"], batch["mask"], strict=True
    ):
        maps = query.run({"image": image[None]})
        for target in range(len(objects)):
            kept = reference.run({"views": views[target][None]})
            out = head.run({**maps, **kept, "objects": objects[target][None]})
            found, wanted = out["mask"][0] > 0.0, masks[target] > 0.5
            overlaps.append((found & wanted).sum() / max((found | wanted).sum(), 1))
            present.append(out["present"][0])
    there = batch["present"].reshape(-1) > 0.5
    assert 8 < there.sum() < 44
    assert np.array(overlaps)[there].mean() > 0.45
    assert auroc(present, there) > 0.8


def test_tom_tells_good_crops_from_bad_ones(bundle: NetworkBundle) -> None:
    """The card says AUROC 0.95 against three remembered crops; held to 0.85 on 16 groups."""
    batch = GroupSampler(STREAMS_VAL.seed(7), pool_size=16).group_batch(16)
    encode, compare = bundle.open("tom_encode"), bundle.open("tom_compare")
    scores, good = [], []
    for crops in batch["crops"]:
        described = encode.run({"crop": crops})
        memory = described["memory"][1:GOOD_COUNT]
        for index in (0, *range(GOOD_COUNT, len(crops))):
            current = np.repeat(described["current"][index][None], len(memory), axis=0)
            scores.append(compare.run({"current": current, "memory": memory})["logit"].mean())
            good.append(index == 0)
    assert auroc(scores, good) > 0.85
