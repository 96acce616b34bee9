"""The training loop of one network: steps by the clock, with what has to happen between them.

Nothing here ends a run for a moment's trouble: a step without a finite gradient changes nothing, a batch for which
the device has no room is halved, a checkpoint that cannot be written leaves the old one and is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from storm_edge.errors import OutputError, RunFault, mismatch
from storm_edge.generator.contract import Batch
from storm_edge.interruption import Interruption
from storm_edge.train.device_clock import DeviceClock
from storm_edge.train.every import Every
from storm_edge.train.no_room import half_batch
from storm_edge.train.processes import agreed_stop, agreed_time_s
from storm_edge.train.run_log import RunLog
from storm_edge.train.run_state import Items, RunState
from storm_edge.train.schedule import learning_rate, progress
from storm_edge.train.speed import SpeedMeter
from storm_edge.train.step import Stepper

_CHECK_ON_GPU = 32  # steps between looks at whether they are finite, each of which waits for the device
Report = Callable[[str, float], None]
"""Takes what is being done and its finished share in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class LoopParts:
    """What a loop works with."""

    items: Items
    """What it is trained on."""
    augment: Callable[[Batch], Batch]
    """Changes a batch on its device."""
    stepper: Stepper
    """Of the run's network."""
    signals: Interruption
    """Ask the loop to end early; held."""
    log: RunLog
    """Where it is written down."""
    report: Report
    """Is told how far it is."""


class Loop:
    """Steps of one network until the end of its run.

    Args:
        run: What is trained.
        parts: What it is trained with.
        began_s: When this start began, on the monotonic clock [s].
    """

    def __init__(self, run: RunState, parts: LoopParts, *, began_s: float) -> None:
        self._run, self._parts = run, parts
        config, now_s = run.config, run.elapsed_s
        self._began_s = began_s - run.elapsed_s
        self._items = config.items_per_step
        self._trained, self._evaluated_at = 0, -1
        self._rate = 0.0
        self._clock = DeviceClock(run.process.device, config.thread_count)
        self._speed = SpeedMeter(self._clock)
        self._log_due = Every(config.log_every_s, first_s=now_s)
        self._evaluation_due = Every(config.evaluate_every_s, first_s=now_s + config.evaluate_every_s)
        self._checkpoint_due = Every(config.checkpoint_every_s, first_s=now_s + config.checkpoint_every_s)

    @property
    def speed(self) -> dict[str, float]:
        """`SpeedMeter.total` of this start."""
        return self._speed.total()

    @property
    def skipped(self) -> int:
        """Steps without a finite gradient, earlier starts included."""
        return self._run.skipped + self._parts.stepper.skipped()

    def until_the_end(self) -> str | None:
        """Train.

        Returns:
            What ended it early: ``interrupted`` or ``terminated``; None where nothing did.

        Raises:
            RunFault: Too many steps in a row had no finite gradient; the last good weights are in the checkpoint.
            BackendError: The device has no room for a batch of one.
            OutputError: The last checkpoint cannot be written; an older one is as it was.
        """
        run, signals = self._run, self._parts.signals
        self._tick()
        self._speed.start(self._parts.items.drawn, 0)
        run.objective.train()
        while (share := self._share()) < 1.0:
            self._step(share)
            self._tick()
            if agreed_stop(signals.is_asked, run.process):
                self._save()
                return signals.ended_by or "interrupted"  # by the signal of another process
            self._check_numbers()
            if run.process.first:
                self._by_the_clock(share)
        if run.process.first:
            self._parts.report(run.config.network.value, 1.0)
            self._write_log()
            if self._evaluated_at != run.step:
                self._evaluate()
        self._save()
        return None

    def _tick(self) -> None:
        self._run.elapsed_s = agreed_time_s(time.monotonic() - self._began_s, self._run.process)

    def _share(self) -> float:
        config = self._run.config
        return progress(self._run.step, config.last_step, self._run.elapsed_s, config.minutes)

    def _step(self, share: float) -> None:
        run, config, parts = self._run, self._run.config, self._parts
        self._rate = learning_rate(config.learning_rate, run.step, config.warmup_steps, share)
        try:
            with self._clock.part("drawing"):
                batch = parts.augment(parts.items.sample(self._items))
            with self._clock.part("learning"):
                parts.stepper.step(batch, number=run.step, rate=self._rate)
            run.step += 1
            self._trained += self._items
            return
        except torch.OutOfMemoryError:
            batch = {}  # what failed stays in memory until this block is left
        run.optimizer.zero_grad(set_to_none=True)
        parts.items.draw_less()  # which of the two was too much nobody knows
        self._items = half_batch(self._items, run.process.device, alone=run.process.count == 1)
        parts.log.add({**self._where(), "batch": self._items, "no_room": True})

    def _check_numbers(self) -> None:
        """End the run after many steps in a row without a finite gradient; all processes see the same."""
        run = self._run
        if run.process.device.type == "cuda" and run.step % _CHECK_ON_GPU:
            return
        count = self._parts.stepper.bad_in_a_row()
        if count < run.config.bad_steps:
            return
        if run.process.first:
            self._write_log()
        self._save()
        what, remedy = f"training {run.config.network.value}", "resume with a lower --learning-rate"
        raise RunFault(mismatch(what, f"{count} steps in a row without a finite gradient", "finite ones", remedy))

    def _by_the_clock(self, share: float) -> None:
        now_s = self._run.elapsed_s
        if self._log_due.is_due(now_s):
            self._write_log()
            self._parts.report(self._run.config.network.value, share)
        if self._evaluation_due.is_due(now_s):
            self._evaluate()
        if self._checkpoint_due.is_due(now_s):
            try:
                self._save()
            except OutputError as error:
                self._parts.log.tell(error)

    def _where(self) -> dict[str, float]:
        return {"step": self._run.step, "elapsed_s": self._run.elapsed_s}

    def _write_log(self) -> None:
        run, drawn = self._run, self._parts.items.drawn
        values = {"rate": self._rate, "drawn": run.drawn + drawn, "batch": self._items, "skipped": self.skipped}
        speeds = self._speed.read(drawn, self._trained)
        self._parts.log.add({**self._where(), **values, **self._parts.stepper.means(), **speeds})

    def _evaluate(self) -> None:
        self._evaluated_at = self._run.step
        self._parts.log.add({**self._where(), "held_out": True, **self._run.evaluate()})
        self._parts.log.draw()

    def _save(self) -> None:
        if self._run.process.first:
            self._run.save(self._parts.items.drawn, self._parts.stepper.skipped())
