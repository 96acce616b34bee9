"""Recovery metrics against recordings worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from storm_edge.evaluate.recovery import FrameRecord, auroc, report_recovery

_STATES = {"T": "TRACKING", "S": "SUSPECT", "L": "LOST", "Q": "SEARCHING", "R": "REGISTERING"}


def recording(states: str, errors: str, visible: str) -> list[FrameRecord]:
    """One letter per frame: states by initial (Q searching), error ``.`` right, ``x`` wrong, ``-`` no pose;
    visible ``#`` all, ``,`` a little, ``_`` nothing.
    """
    assert len(states) == len(errors) == len(visible)
    error = {".": 0.02, "x": 0.5, "-": math.inf}
    share = {"#": 1.0, ",": 0.2, "_": 0.0}
    return [
        FrameRecord(state=_STATES[s], error_share=error[e], visible_share=share[v])
        for s, e, v in zip(states, errors, visible, strict=True)
    ]


def test_a_loss_noticed_and_recovered() -> None:
    #                  0    5    10   15
    frames = recording(
        "TTTTTSSLQQQQRTTT",
        "....xxx------...",
        "####____,,,#####",
    )
    report = report_recovery([frames])
    # The loss begins in frame 4 (hidden and wrong), is doubted in 5 and given up in 7.
    assert report.lost.detected == (3,)
    assert report.doubted.detected == (1,)
    assert report.lost.median_frames == 3
    assert (report.lost.healed_count, report.lost.missed_count, report.lost.false_count) == (0, 0, 0)
    # Frame 4 is tracked and wrong, 5 and 6 are doubted.
    assert (report.drift_count, report.drift_share) == (1, 1 / 16)
    # It reappears in frame 8, is tracked rightly from 13.
    assert (report.hidden_count, report.recovered, report.recovered_share) == (1, (5,), 1.0)


def test_an_alarm_before_the_object_is_gone_is_a_detection_in_0_frames() -> None:
    report = report_recovery([recording("TTSLQQ", "...---", "##,,__")])
    assert report.lost.detected == (0,)
    assert report.lost.false_count == 0


def test_an_alarm_at_a_right_pose_in_full_view_is_false() -> None:
    frames = recording(
        "TTSTTSSSLQTT",
        "........--..",
        "############",
    )
    report = report_recovery([frames])
    assert report.lost.false_count == 1
    assert report.lost.false_per_1000 == pytest.approx(1000 / 12)
    assert report.doubted.false_count == 2
    assert report.lost.detected == ()
    assert report.lost.median_frames is None


def test_an_alarm_behind_something_is_not_false() -> None:
    assert report_recovery([recording("TTSL", "...-", "##,,")]).doubted.false_count == 0


def test_a_wrong_pose_without_an_alarm_is_missed_or_healed() -> None:
    missed = report_recovery([recording("TTTTT", "..xxx", "#####")])
    assert (missed.lost.missed_count, missed.lost.healed_count) == (1, 0)
    assert missed.lost.median_frames == math.inf
    assert missed.drift_share == 3 / 5
    healed = report_recovery([recording("TTTTT", "..xx.", "#####")])
    assert (healed.lost.missed_count, healed.lost.healed_count) == (0, 1)
    assert healed.lost.median_frames is None


def test_a_short_occlusion_without_an_alarm_is_healed() -> None:
    report = report_recovery([recording("TTTTT", ".....", "##__#")])
    assert report.lost.healed_count == 1
    assert report.recovered == (0,)
    assert report.drift_count == 0


def test_recovery_that_comes_late_or_never_does_not_count() -> None:
    late = recording("T" + "L" * 35 + "T", "." + "-" * 35 + ".", "#__" + "#" * 34)
    report = report_recovery([late])
    assert report.recovered == (33,)
    assert report.recovered_share == 0.0
    never = report_recovery([recording("TLQQ", ".---", "#__#")])
    assert (never.hidden_count, never.recovered, never.recovered_share) == (1, (), 0.0)


def test_recovery_needs_the_right_pose() -> None:
    assert report_recovery([recording("TLTT", ".-x.", "#_##")]).recovered == (1,)


def test_a_search_before_the_first_track_is_no_loss() -> None:
    report = report_recovery([recording("QQRT", "---.", "__##")])
    assert (report.hidden_count, report.lost.detected, report.lost.missed_count) == (0, (), 0)


def test_recordings_are_pooled() -> None:
    one = recording("TTTL", "..x-", "####")
    report = report_recovery([one, one])
    assert (report.sequence_count, report.frame_count) == (2, 8)
    assert report.lost.detected == (1, 1)
    assert "median 1 frames to detect" in report.sentence()


def test_auroc_counts_pairs() -> None:
    # positives 0.9, 0.4; negatives 0.4, 0.1: pairs won 1, 1, half, 1 of 4
    assert auroc([0.9, 0.4, 0.4, 0.1], [True, True, False, False]) == pytest.approx(3.5 / 4)
    assert auroc([1.0, 2.0], [False, True]) == 1.0
    assert np.isnan(auroc([1.0], [True]))
