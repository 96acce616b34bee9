"""`storm-edge eval tom`: how well a bundle's verifier tells right poses from lost ones, over pairs of crops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from storm_edge.choices import ENGINE_FOLDER, Backend
from storm_edge.cli.console import progress_bars
from storm_edge.cli.inputs import open_networks
from storm_edge.cli.options import BackendOption, DeviceOption, EnginesOption, ForceOption
from storm_edge.errors import EngineError, mismatch
from storm_edge.result_folder import check_replaceable

if TYPE_CHECKING:
    from storm_edge.training_data.pair_file import CropPair
    from storm_edge.training_data.pair_scores import PairScores

_HALF = 0.5  # upstream's evaluation of TOM calls a pair the same from here on


def command(
    pairs: Annotated[
        Path, typer.Argument(help="pairs.jsonl of storm-edge data pairs, or its folder.", show_default=False)
    ],
    bundle: Annotated[str, typer.Option(help="Network bundle of tier full: a name or a folder.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write report.json to.", show_default=False)],
    threshold: Annotated[
        float | None, typer.Option(help="Also the accuracy at this score.", show_default=False)
    ] = None,
    device: DeviceOption = "cpu",
    backend: BackendOption = Backend.ONNXRUNTIME,
    engines: EnginesOption = ENGINE_FOLDER,
    force: ForceOption = False,
) -> None:
    """Accuracy, ROC and time per pair of the verifier (TOM), over pairs of crops."""
    from storm_edge.engines.contract import EngineOptions
    from storm_edge.evaluate.report import TOM_REPORT, write_report
    from storm_edge.kernels.device import require_device
    from storm_edge.training_data.pair_file import read_pairs
    from storm_edge.training_data.pair_scores import score_pairs

    check_replaceable(out, TOM_REPORT, force=force, inputs=[pairs])
    read = read_pairs(pairs)
    require_device(device)
    networks = open_networks(bundle, backend=backend, engines=engines, device=device)
    if networks is None:
        raise EngineError(mismatch("--bundle", bundle, "a bundle of tier full with TOM", "name one"))
    with progress_bars() as report:
        options = EngineOptions(device=device)
        found = score_pairs(read, networks, options=options, progress=lambda done, of: report("pairs", done / of))
    content = _content(read, found, networks.name, threshold)
    write_report(out, content, TOM_REPORT, force=force)
    said = ", ".join(f"{content['accuracy'][name]:.1%} at {at:g}" for name, at in content["thresholds"].items())
    area = "-" if content["auroc"] is None else f"{content['auroc']:.4f}"
    typer.echo(f"{len(read)} pairs, {content['same_count']} of them the same: accuracy {said}; AUROC {area}")
    typer.echo(f"{content['time_ms']['p50']:.1f} ms per pair (p50), both crops encoded")


def _content(read: Sequence[CropPair], found: PairScores, bundle: str, threshold: float | None) -> dict[str, Any]:
    """What `report.json` says."""
    import numpy as np

    from storm_edge.evaluate.roc import accuracy, roc_curve
    from storm_edge.percentiles import percentiles

    is_same = np.array([pair.label == 1 for pair in read])
    usable = np.isfinite(found.scores)
    scores, truth = found.scores[usable], is_same[usable]
    curve = roc_curve(scores, truth)
    given = {} if threshold is None else {"given": threshold}
    thresholds = given | {"decision": found.threshold} | ({"half": _HALF} if found.kind == "probability" else {})
    return {
        "bundle": bundle,
        "score": found.kind,
        "pair_count": len(read),
        "same_count": int(is_same.sum()),
        "non_finite_count": int((~usable).sum()),
        "thresholds": thresholds,
        # A pair without a score is called wrongly, whatever it is.
        "accuracy": {
            name: accuracy(scores, truth, at) * len(scores) / len(read) if len(scores) else 0.0
            for name, at in thresholds.items()
        },
        "auroc": None if curve is None else curve.area,
        "roc": None if curve is None else curve,
        "time_ms": percentiles((found.times_s * 1e3).tolist()),
        "pairs": [
            {"a": pair.current.name, "b": pair.memory.name, "label": pair.label, "score": score}
            for pair, score in zip(read, found.scores.tolist(), strict=True)
        ],
    }
