"""All four networks, one after the other, in a given time: ``storm-edge train all``.

Each has a folder of its own below ``out`` and a slice of the time. A run that is killed at any moment goes on with
``resume``: networks that are finished stay, the one in progress goes on from its last checkpoint, on the schedule
that it had.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import distributed as dist

from storm_edge.choices import Network
from storm_edge.files import cannot_write
from storm_edge.interruption import Interruption
from storm_edge.train.config import TrainConfig, TrainResult
from storm_edge.train.loop import Report
from storm_edge.train.out_folder import CHECKPOINT
from storm_edge.train.processes import Process, joined
from storm_edge.train.run import Company, check, train_beside
from storm_edge.train.shares import Plan, TimeShares, open_plan
from storm_edge.train.sources import SourceFactory
from storm_edge.train.start import holds, is_bundle

SourceOf = Callable[[Network], SourceFactory]


def train_all(
    template: TrainConfig,
    *,
    shares: TimeShares | None = None,
    source_of: SourceOf | None = None,
    report: Report = lambda what, share: None,
) -> dict[Network, TrainResult]:
    """Train RefineNet, ScoreNet, the segmenter and the verifier in ``template.minutes``.

    Args:
        template: What all four share; its ``network`` is left out of account, ``out`` is the folder of all, and
            ``start_from`` a bundle. ScoreNet begins with the trunk of this run's RefineNet if there is no bundle or
            the bundle has no ScoreNet.
        shares: Of the time.
        source_of: Makes the items of each network; the synthetic ones unless a test brings its own.
        report: Is told how far each network is.

    Returns:
        Results of the networks that this start trained; the last one says in ``ended_by`` if a signal ended it.

    Raises:
        StormEdgeError: As `run.train`, and as `shares.open_plan`.
    """
    check(template)
    results: dict[Network, TrainResult] = {}
    with Interruption(held=True) as signals, joined(template.device) as process:
        company = Company(process=process, signals=signals, report=report)
        plan = _opened(template, process)
        for network in Network:
            if plan.slices[network].is_finished:
                continue
            plan = plan.begin(network, shares or TimeShares())
            _write(plan, template, process)
            config = _of_network(template, network, plan, process)
            source = None if source_of is None else source_of(network)
            result = train_beside(config, company, source=source, held_out=source)
            results[network] = result
            if result.ended_by is not None:
                break
            plan = plan.finish(network, result.elapsed_s)
            _write(plan, template, process)
    return results


def _opened(template: TrainConfig, process: Process) -> Plan:
    """The plan, the same in all processes."""
    plan = open_plan(template.out, template.minutes, resume=template.resume)
    try:
        template.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(template.out, error) from error
    if process.count > 1:
        dist.barrier()  # nobody writes it before all have read it
    return plan


def _write(plan: Plan, template: TrainConfig, process: Process) -> None:
    if process.first:
        plan.write(template.out)


def _of_network(template: TrainConfig, network: Network, plan: Plan, process: Process) -> TrainConfig:
    """The run of one network: it goes on where it has a checkpoint."""
    out = template.out / network.value
    goes_on = template.resume and (out / CHECKPOINT).exists()
    start = template.start_from
    if network is Network.SCORE and (start is None or (is_bundle(start) and not holds(start, network))):
        start = template.out / Network.REFINE.value / CHECKPOINT
    if process.count > 1:
        dist.barrier()
    minutes = plan.slices[network].minutes
    return replace(template, network=network, out=out, minutes=minutes, resume=goes_on, start_from=start)
