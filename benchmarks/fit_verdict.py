"""Fit the weights of the verdict with a network to searches that were right and wrong.

    python -m benchmarks.bench_search --scenes 120 --first 1000 --jobs 2 --name search-verdict
    python -m benchmarks.fit_verdict [search-verdict]

prints ``_WEIGHTS_WITH_NETWORK`` and its constant for `perception.evidence`, and how well verdicts fitted on other
scenes tell present from absent: ten folds of whole scenes. The scenes must not be those of ``search`` and
``search-other``, which judge the result.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.common import RECORDS
from storm_edge.perception.evidence import Evidence, Opinion, features

Float64 = NDArray[np.float64]

RIGHT_IOU = 0.5
LEAST_SEEN = 0.15  # `FindConfig.min_seen`
_FOLDS = 10
_PENALTY = 1.0


def samples(rows: list[dict[str, Any]]) -> tuple[Float64, NDArray[np.bool_], NDArray[np.int64]]:
    """Features ``(N, 10)`` of everything that was tried, whether it was right, and which search it belongs to."""
    names = [field.name for field in fields(Evidence)]
    x, right, search = [], [], []
    for number, row in enumerate(rows):
        for tried in row["tried"]:
            if tried["occluded"] <= 1.0 - LEAST_SEEN:
                opinion = Opinion(present=row["present"], marked=tried["marked"])
                x.append(features(Evidence(**{name: tried[name] for name in names}), opinion))
                right.append(tried["iou"] > RIGHT_IOU)
                search.append(number)
    return np.array(x), np.array(right), np.array(search)


def fit(x: Float64, right: NDArray[np.bool_]) -> tuple[Float64, float]:
    """Weights and constant of a logistic regression, right and wrong counted alike."""
    mean, spread = x.mean(axis=0), x.std(axis=0)
    z = (x - mean) / spread
    share = np.where(right, 0.5 / right.sum(), 0.5 / (~right).sum()) * len(right)
    sign = np.where(right, -1.0, 1.0)

    def loss(p: Float64) -> float:
        return float((share * np.logaddexp(0.0, sign * (z @ p[:-1] + p[-1]))).sum() + _PENALTY * (p[:-1] ** 2).sum())

    p = minimize(loss, np.zeros(x.shape[1] + 1), method="L-BFGS-B").x
    weights = p[:-1] / spread
    return weights, float(p[-1] - weights @ mean)


def best_of_each(values: Float64, search: NDArray[np.int64], count: int) -> Float64:
    """Largest logit of every search, -30 where nothing was tried."""
    best = np.full(count, -30.0)
    np.maximum.at(best, search, values)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", nargs="?", default="search-verdict")
    args = parser.parse_args()
    rows = json.loads((RECORDS / f"{args.record}.json").read_text(encoding="utf-8"))["results"]["rows"]
    x, right, search = samples(rows)
    scenes = np.array([row["scene"] for row in rows])
    held_out = np.zeros(len(x))
    for fold in range(_FOLDS):
        out = scenes[search] % _FOLDS == fold
        weights, constant = fit(x[~out], right[~out])
        held_out[out] = x[out] @ weights + constant
    there = np.array([row["there"] for row in rows])
    before = np.array([np.log(max(row["verdict"], 1e-9) / max(1.0 - row["verdict"], 1e-9)) for row in rows])
    for name, best in (("as it was", before), ("fitted on other scenes", best_of_each(held_out, search, len(rows)))):
        yes, no = best[there], best[~there]
        bound = np.quantile(yes, 0.05)
        order = float((yes[:, None] > no[None]).mean())
        print(f"{name}: AUROC {order:.4f}, absent right at 5 % misses {float((no < bound).mean()):.3f}")
    weights, constant = fit(x, right)
    print(f"{len(x)} places, {int(right.sum())} right")
    print("_WEIGHTS_WITH_NETWORK =", tuple(round(float(w), 2) for w in weights))
    print("_CONSTANT_WITH_NETWORK =", round(constant, 2))


if __name__ == "__main__":
    main()
