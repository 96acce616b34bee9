from __future__ import annotations

from dataclasses import replace

import pytest

from storm_edge.mcap.packed_frame import PackedFrame
from storm_edge.service.beside_sections import LossSection
from storm_edge.service.loss_window import Clip, LossWindow
from tests.mcap.frames import frame, packed

pytest.importorskip("zstandard")

ONE = packed([frame(0)])[0]


def at(second: float, index: int = 0) -> PackedFrame:
    return replace(ONE, index=index, arrived_ns=round(second * 1e9))


def indices(clip: Clip | None) -> list[int]:
    assert clip is not None
    return [one.index for one in clip.frames]


def window(**section: float) -> LossWindow:
    return LossWindow(LossSection(**{"before_s": 2.0, "after_s": 1.0, **section}))


def test_a_clip_has_what_came_before_and_after_its_loss() -> None:
    kept = window()
    for second in range(10):
        assert kept.add(at(second, second)) is None
    assert kept.add(at(10.0, 10), ["mug"]) is None
    assert kept.add(at(10.5, 11)) is None
    clip = kept.add(at(11.0, 12))
    assert indices(clip) == [8, 9, 10, 11, 12]
    assert clip is not None
    assert clip.reasons == ["mug"]
    assert kept.add(at(11.5, 13)) is None
    assert kept.end() is None


def test_losses_that_follow_one_another_share_a_clip_up_to_a_limit() -> None:
    kept = window(longest_s=4.0)
    kept.add(at(0.0, 0), ["mug"])
    kept.add(at(0.9, 1), ["box", "mug"])
    assert kept.add(at(1.5, 2)) is None
    clip = None
    for index in range(3, 20):
        clip = kept.add(at(index * 0.5, index), ["mug"])
        if clip is not None:
            break
    assert clip is not None
    assert clip.reasons == ["mug", "box"]
    assert clip.frames[-1].arrived_ns <= 4.5e9


def test_a_camera_that_stops_does_not_keep_a_clip_open() -> None:
    kept = window()
    kept.add(at(5.0, 0), ["mug"])
    assert kept.end_by(round(5.5e9)) is None
    assert indices(kept.end_by(round(6.0e9))) == [0]


def test_a_clip_is_made_of_what_is_there_while_no_frame_comes() -> None:
    kept = window()
    kept.ask(["asked"])
    assert kept.end() is None
    kept.add(at(5.0, 0))
    kept.ask(["asked"])
    assert indices(kept.end_by(round(6.5e9))) == [0]


def test_memory_is_bounded_before_and_during_a_clip() -> None:
    kept = window(before_s=100.0, after_s=100.0, longest_s=500.0, memory_mib=1.0)
    large = replace(ONE, colour=b"x" * (1 << 18))
    for second in range(20):
        kept.add(replace(large, arrived_ns=second * 10**9))
    assert kept.kept_mib <= 1.0
    clips = [kept.add(replace(large, arrived_ns=(20 + n) * 10**9), ["mug"] if n == 0 else []) for n in range(9)]
    first = next(clip for clip in clips if clip is not None)
    assert first.size_bytes <= 2 << 20
