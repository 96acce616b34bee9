"""What begins when: worked examples, and random days under a virtual clock with scripted stage times.

Times are whole numbers of a made-up unit, so that sums are exact.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storm_edge.errors import ConfigError
from storm_edge.live.config import ScheduleConfig
from storm_edge.live.lanes.scheduler import ChunkTimes, Grant, Lane, Scheduler, frames_within

EXACT = ScheduleConfig(margin=1.0, slack_s=0.0, verify_within=2, locate_within=4, silence_s=1000.0)
ONE_WORKER = ((Lane.TRACK, Lane.VERIFY, Lane.LOCATE),)
A_LOOP_AND_A_THREAD = ((Lane.TRACK,), (Lane.VERIFY, Lane.LOCATE))


@dataclass
class Work:
    """Chunks of one piece of work, by kind."""

    lane: Lane
    from_s: float
    kinds: Sequence[str]


@dataclass
class Day:
    """Drives a scheduler by its own clock; keeps its own books on who waits for how long."""

    frames: Sequence[float]
    works: Sequence[Work]
    stage_s: dict[str, Callable[[], float]]
    workers: Sequence[Sequence[Lane]] = ONE_WORKER
    config: ScheduleConfig = EXACT
    log: list[tuple[Grant, float]] = field(default_factory=list)
    skips: list[int] = field(default_factory=list)

    def run(self) -> Day:
        self.scheduler = Scheduler(self.config)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._idle = list(range(len(self.workers)))
        self._arrived = -1
        self._left = [list(work.kinds) for work in self.works]
        self._waiting = {lane: set() for lane in Lane}
        self._running = dict.fromkeys(Lane, 0)
        self._passed = dict.fromkeys(Lane, 0)
        for index, at in enumerate(self.frames):
            due = self.frames[index + 1] if index + 1 < len(self.frames) else None
            self._at(at, lambda index=index, due=due: self._arrive(index, due))
        for task, work in enumerate(self.works):
            self._at(work.from_s, lambda task=task, work=work: self._submit(task, work))
        while self._events:
            self.now = self._events[0][0]
            while self._events and self._events[0][0] == self.now:
                heapq.heappop(self._events)[2]()
            self._offer()
        return self

    def _at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), do))

    def _arrive(self, index: int, due: float | None) -> None:
        self._arrived = index
        skipped = self.scheduler.arrive(index, self.now, due)
        if skipped is not None:
            self.skips.append(skipped)

    def _submit(self, task: int, work: Work) -> None:
        self._wait(task, work.lane)
        self.scheduler.submit(work.lane, task, self._left[task][0])

    def _wait(self, task: int, lane: Lane) -> None:
        if not self._waiting[lane]:
            self._passed[lane] = 0
        self._waiting[lane].add(task)

    def _offer(self) -> None:
        for worker in tuple(self._idle):
            grant = self.scheduler.choose(self.now, self.workers[worker])
            if grant is None:
                continue
            self._idle.remove(worker)
            self._book(grant)
            self._at(
                self.now + self.stage_s[grant.kind](), lambda worker=worker, grant=grant: self._end(worker, grant)
            )
        wait_s = self.scheduler.wait_s(self.now)
        if wait_s is not None:
            assert wait_s > 0.0
            self._at(self.now + wait_s, lambda: None)

    def _book(self, grant: Grant) -> None:
        assert grant.began_s == self.now
        if grant.lane is Lane.TRACK:
            assert grant.task == self._arrived, "an old frame was tracked though a newer one is there"
            for lane in (Lane.VERIFY, Lane.LOCATE):
                if self._waiting[lane] and not any(self._running.values()):  # else nobody could begin it
                    self._passed[lane] += 1
                    # Two workers may find no moment between two frames; then it begins beside the second.
                    most = frames_within(self.config, lane) + (len(self.workers) > 1)
                    assert self._passed[lane] <= most, f"{lane.name} starves"
        else:
            assert grant.kind == self._left[grant.task][0]
            self._waiting[grant.lane].remove(grant.task)
            self._running[grant.lane] += 1
            self._passed[grant.lane] = 0

    def _end(self, worker: int, grant: Grant) -> None:
        self.log.append((grant, self.now))
        self._idle.append(worker)
        self._idle.sort()
        following = None
        if grant.lane is not Lane.TRACK:
            self._running[grant.lane] -= 1
            left = self._left[grant.task]
            left.pop(0)
            if left:
                following = left[0]
                self._wait(grant.task, grant.lane)
        self.scheduler.ended(grant, self.now, following)

    def begun(self, lane: Lane) -> list[tuple[float, str, bool]]:
        return sorted((grant.began_s, grant.kind, grant.forced) for grant, _ in self.log if grant.lane is lane)


def always(**spent_s: float) -> dict[str, Callable[[], float]]:
    return {kind: lambda spent=spent: spent for kind, spent in spent_s.items()}


# -- worked examples


def test_a_chunk_begins_after_tracking_where_it_fits_and_by_the_bound_where_it_does_not() -> None:
    """A frame every 10, tracking takes 4: 6 are left. The first of each kind, of unknown length, is forced."""
    works = [Work(Lane.LOCATE, 1.0, ["fits"] * 3), Work(Lane.LOCATE, 1.0, ["long"] * 2)]
    day = Day([10.0 * i for i in range(16)], works, always(track=4.0, fits=6.0, long=7.0)).run()
    assert day.begun(Lane.LOCATE) == [
        (44.0, "fits", True),  # submitted during frame 0; frames 1 to 4 went by
        (84.0, "long", True),  # 5 to 8
        (104.0, "fits", False),  # frame 9 began 1 late, then 5 are left, but 10 did not
        (144.0, "long", True),  # 11 to 14
        (155.0, "fits", False),  # no frame is expected any more
    ]
    assert [began for began, _, _ in day.begun(Lane.TRACK)[8:11]] == [80.0, 91.0, 100.0]


def test_tracking_alone_longer_than_the_period_starves_nobody_and_skips_are_counted() -> None:
    works = [Work(Lane.VERIFY, 1.0, ["verify"] * 4), Work(Lane.LOCATE, 1.0, ["chunk"] * 4)]
    day = Day([10.0 * i for i in range(40)], works, always(track=12.0, verify=3.0, chunk=5.0)).run()
    assert all(forced for _, _, forced in day.begun(Lane.LOCATE)[:4])
    assert len(day.begun(Lane.VERIFY)) == len(day.begun(Lane.LOCATE)) == 4
    assert len(day.skips) == day.scheduler.skipped > 0
    assert len(day.begun(Lane.TRACK)) + len(day.skips) == 40


def test_margin_and_slack_are_kept_free() -> None:
    scheduler = Scheduler(ScheduleConfig(margin=1.5, slack_s=1.0))
    for _ in range(2):
        scheduler.times.add("chunk", 4.0)
    scheduler.submit(Lane.LOCATE, 1, "chunk")
    scheduler.arrive(0, 0.0, 10.0)
    track = scheduler.choose(0.0)
    assert track is not None
    assert track.lane is Lane.TRACK
    assert scheduler.choose(1.0) is None  # tracking
    scheduler.ended(track, 2.0)
    assert scheduler.choose(3.25) is None  # 3.25 + 6 + 1 > 10
    granted = scheduler.choose(3.0)
    assert granted is not None
    assert (granted.task, granted.forced, granted.deadline_s) == (1, False, 10.0)


def test_verifying_goes_first_and_one_piece_of_locating_after_the_other() -> None:
    scheduler = Scheduler(EXACT)
    for task, lane in enumerate([Lane.LOCATE, Lane.LOCATE, Lane.VERIFY]):
        scheduler.submit(lane, task, "chunk")
    order = []
    for now in range(6):
        granted = scheduler.choose(float(now))
        assert granted is not None
        order.append(granted.task)
        scheduler.ended(granted, now + 0.5, "chunk" if granted.lane is Lane.LOCATE else None)
    assert order == [2, 0, 1, 0, 1, 0]
    with pytest.raises(ValueError, match="arrive"):
        scheduler.submit(Lane.TRACK, 9, "track")


def test_work_that_is_withdrawn_does_not_begin_and_what_is_dropped_is_not_measured() -> None:
    scheduler = Scheduler(EXACT)
    for task in (1, 2):
        scheduler.submit(Lane.LOCATE, task, "chunk")
    scheduler.withdraw(1)
    granted = scheduler.choose(0.0)
    assert granted is not None
    assert granted.task == 2
    scheduler.dropped(granted, 1.0)
    assert scheduler.choose(2.0) is None
    assert scheduler.times.expected_s("chunk") is None


def test_the_newest_frame_wins_and_an_old_or_repeated_one_is_skipped_itself() -> None:
    scheduler = Scheduler(EXACT)
    assert scheduler.arrive(3, 0.0) is None
    assert scheduler.arrive(5, 1.0) == 3
    assert scheduler.arrive(5, 2.0) == 5
    assert scheduler.arrive(4, 3.0) == 4
    granted = scheduler.choose(4.0)
    assert granted is not None
    assert (granted.lane, granted.task, scheduler.skipped) == (Lane.TRACK, 5, 3)
    scheduler.ended(granted, 5.0)
    assert scheduler.choose(6.0) is None


def test_when_the_frames_stop_the_deadline_is_void() -> None:
    """A camera that was unplugged must not stop a search whose chunks fit nowhere."""
    scheduler = Scheduler(ScheduleConfig(silence_s=5.0))
    scheduler.arrive(0, 0.0, 10.0)
    track = scheduler.choose(0.0)
    assert track is not None
    scheduler.submit(Lane.LOCATE, 1, "never measured")
    assert scheduler.wait_s(1.0) is None  # nothing but the end of tracking changes anything
    scheduler.ended(track, 4.0)
    assert scheduler.choose(4.0) is None
    assert scheduler.wait_s(4.0) == 11.0
    granted = scheduler.choose(15.0)
    assert granted is not None
    assert (granted.forced, granted.deadline_s) == (False, None)
    scheduler.ended(granted, 17.0, "never measured either")
    scheduler.arrive(1, 20.0, 30.0)  # the frames are back: the chunk waits even before tracking begins
    assert scheduler.choose(20.0, (Lane.LOCATE,)) is None
    assert scheduler.wait_s(20.0) == 5.0


def test_the_first_time_of_a_kind_counts_until_there_is_another() -> None:
    times = ChunkTimes(ScheduleConfig(quantile=0.9, recent=10))
    assert times.expected_s("chunk") is None
    times.add("chunk", 500.0)
    assert times.expected_s("chunk") == 500.0
    for spent in (3.0, 1.0, 2.0):
        times.add("chunk", spent)
    assert times.expected_s("chunk") == 3.0
    for spent in (70.0, *[4.0] * 9):
        times.add("chunk", spent)
    assert times.expected_s("chunk") == 4.0  # 9 of the last 10
    assert times.expected_s("other") is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("quantile", 0.0), ("recent", 0), ("margin", 0.9), ("slack_s", -1.0), ("locate_within", 0), ("silence_s", 0.0)],
)
def test_a_config_that_promises_nothing_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        ScheduleConfig(**{name: value})


# -- random days


def random_day(draw: random.Random, workers: Sequence[Sequence[Lane]], *, exact: bool) -> Day:
    """Frames at random intervals, announced exactly; chunks of random kinds, with one time each where ``exact``."""
    frames = list(itertools.accumulate(draw.randint(5, 30) for _ in range(draw.randint(0, 60))))
    end = frames[-1] if frames else 1
    kinds = [f"kind {i}" for i in range(draw.randint(1, 4))]
    works = []
    for lane in (Lane.VERIFY, Lane.LOCATE):
        for _ in range(draw.randint(0, 4)):
            chunks = [draw.choice(kinds) for _ in range(draw.randint(1, 15))]
            works.append(Work(lane, float(draw.randint(0, end)), chunks))
    stage_s: dict[str, Callable[[], float]] = {}
    slowest = draw.choice([8, 20, 45])  # tracking that always, mostly or seldom keeps up
    stages = {"track": slowest, **dict.fromkeys(kinds, 25)}
    for kind, most in stages.items():
        if exact:
            stage_s |= always(**{kind: float(draw.randint(1, most))})
        else:
            stage_s[kind] = lambda most=most: float(draw.randint(1, most))
    config = ScheduleConfig(
        quantile=1.0,
        margin=1.0,
        slack_s=0.0,
        verify_within=draw.randint(1, 4),
        locate_within=draw.randint(1, 6),
        silence_s=float(draw.choice([5, 40, 1000])),
    )
    return Day([float(at) for at in frames], works, stage_s, workers, config)


days = pytest.mark.parametrize("workers", [ONE_WORKER, A_LOOP_AND_A_THREAD], ids=["one worker", "loop and thread"])


@days
@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_with_exact_times_every_admitted_chunk_ends_before_the_next_frame(
    workers: Sequence[Sequence[Lane]], seed: int
) -> None:
    day = random_day(random.Random(seed), workers, exact=True).run()
    for grant, ended in day.log:
        if grant.lane is not Lane.TRACK and grant.deadline_s is not None and not grant.forced:
            assert ended <= grant.deadline_s
            assert grant.deadline_s in day.frames
            during = [g for g, end in day.log if g.lane is Lane.TRACK and grant.began_s < end and g.began_s < ended]
            assert not during, "an admitted chunk ran while a frame was tracked"


@days
@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_nobody_starves_and_every_frame_is_tracked_or_counted(workers: Sequence[Sequence[Lane]], seed: int) -> None:
    """With times that vary, too. `Day` itself counts the frames begun while a lane waits."""
    day = random_day(random.Random(seed), workers, exact=False).run()
    chunks = [grant for grant, _ in day.log if grant.lane is not Lane.TRACK]
    assert len(chunks) == sum(len(work.kinds) for work in day.works)
    tracked = [grant.task for grant, _ in day.log if grant.lane is Lane.TRACK]
    assert tracked == sorted(set(tracked))
    assert sorted(tracked + day.skips) == list(range(len(day.frames)))
    assert day.scheduler.skipped == len(day.skips)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_frame_waits_but_for_a_frame_or_for_what_had_to_begin(seed: int) -> None:
    """On one worker, with exact times: what delays a frame is tracking, a forced chunk, or one begun in silence."""
    day = random_day(random.Random(seed), ONE_WORKER, exact=True).run()
    for grant, _ in day.log:
        arrived = day.frames[grant.task] if grant.lane is Lane.TRACK else grant.began_s
        if grant.began_s > arrived:
            before = [g for g, end in day.log if g is not grant and g.began_s < grant.began_s and end > arrived]
            assert before
            assert all(g.lane is Lane.TRACK or g.forced or g.deadline_s is None for g in before)


@days
def test_same_seed_same_schedule(workers: Sequence[Sequence[Lane]]) -> None:
    for seed in range(20):
        first, second = (random_day(random.Random(seed), workers, exact=False).run() for _ in range(2))
        assert first.log == second.log
        assert first.skips == second.skips


def test_without_a_deadline_a_search_goes_on_in_every_gap_between_frames() -> None:
    """The first search of a paced run: its chunks were never timed, and no deadline holds them back.

    With the deadline of a camera at 30 Hz none of them begins before its lane is overdue.
    """
    frame_s, track_s = 1.0 / 30.0, 0.004
    begun = {}
    for held in (False, True):
        scheduler = Scheduler()
        scheduler.submit(Lane.LOCATE, 1, "chunk 0")
        begun[held] = 0
        for frame in range(5):
            now_s = frame * frame_s
            scheduler.arrive(frame, now_s, now_s + frame_s if held else None)
            track = scheduler.choose(now_s)
            assert track is not None
            assert track.lane is Lane.TRACK
            scheduler.ended(track, now_s + track_s)
            chunk = scheduler.choose(now_s + track_s, {Lane.LOCATE})
            if chunk is not None:
                begun[held] += 1
                scheduler.ended(chunk, now_s + 0.02, next_kind=f"chunk {frame + 1}")
    assert begun[False] == 5
    assert begun[True] < 5
