"""What is remembered of a fan's turns: parts take turns, what was heard waits for another view or a better glance."""

from __future__ import annotations

import numpy as np

from storm_edge.pipeline.side.config import SideConfig
from storm_edge.pipeline.side.fan import fan_of
from storm_edge.pipeline.side.fan_memory import FanMemory
from tests.pipeline.side.sides import bundle_of, mug, pose


def memory(config: SideConfig) -> FanMemory:
    bundle = bundle_of(mug())
    return FanMemory(fan_of(bundle.near_symmetries, bundle.symmetries, config), config)


def test_the_parts_of_a_fan_take_turns() -> None:
    known = memory(SideConfig(fan=4))
    count = len(known.fan.motions)
    assert known.is_new
    parts = [known.next_part(pose()) for _ in range(-(-count // 4))]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(count))
    np.testing.assert_array_equal(known.next_part(pose()), parts[0])


def test_the_nearest_turns_are_a_step_away_on_either_side() -> None:
    known = memory(SideConfig())
    assert sorted(known.fan.angle_deg[known.near]) == [-30.0, 30.0]


def test_what_was_heard_is_promising_again_only_at_a_better_glance() -> None:
    config = SideConfig()
    known = memory(config)
    turns = known.next_part(pose())
    known.note_glance(turns, np.linspace(0.0, 2.0, len(turns)))
    first = int(known.promising(turns)[0])
    assert first == turns[0]
    known.note_waiting(first)
    known.note_heard(first, 0.4)
    assert first not in known.promising(turns)
    assert first not in known.unheard_of_part()
    known.note_glance(np.array([first]), np.array([-config.fan_slack - 0.01]))
    assert first in known.promising(turns)


def test_another_view_forgets_what_was_heard() -> None:
    config = SideConfig()
    known = memory(config)
    turns = known.next_part(pose(0.0))
    known.note_glance(turns, np.zeros(len(turns)))
    for turn in turns:
        known.note_waiting(int(turn))
        known.note_heard(int(turn), 1.0)
    assert not len(known.promising(turns))
    known.next_part(pose(config.other_view_deg - 1.0))
    assert not len(known.promising(turns))
    known.next_part(pose(config.other_view_deg + 1.0))
    assert len(known.promising(turns)) == len(turns)


def test_what_costs_no_more_than_the_pose_is_ambiguous() -> None:
    known = memory(SideConfig())
    turns = known.next_part(pose())
    known.note_glance(turns, np.full(len(turns), 3.0))
    assert known.ambiguity() is None
    known.note_heard(int(known.near[0]), 0.0)
    told = known.ambiguity()
    assert told is not None
    known.forget()
    assert known.ambiguity() is None
