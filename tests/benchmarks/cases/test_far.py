"""What the case of far recordings counts."""

from __future__ import annotations

from benchmarks.cases.far import Run, Seen, summarised


def seen(state: str, error_share: float | None, *, is_visible: bool = True) -> Seen:
    return Seen(state=state, error_share=error_share, confidence=0.5, is_visible=is_visible)


def run(kind: str, start: str, *frames: Seen) -> Run:
    return Run(number=0, distance_m=3.0, kind=kind, start=start, seen=frames)


def test_right_wrong_found_and_false_are_told_apart() -> None:
    figures = summarised(
        [
            run("still", "mask", seen("TRACKING", 0.02), seen("SUSPECT", 0.03), seen("TRACKING", 0.02)),
            run("passed", "mask", seen("SUSPECT", 0.5, is_visible=False), seen("SEARCHING", None)),
            run("still", "auto", seen("SEARCHING", None), seen("TRACKING", 0.04)),
            run("still", "neighbour", seen("TRACKING", 0.9), seen("SUSPECT", 0.9)),
            run("absent", "auto", seen("SEARCHING", None), seen("TRACKING", 600.0)),
        ]
    )
    assert figures["width_px"] == 30
    assert figures["right"] == 0.75  # three of four visible frames of mask starts
    assert figures["believed_of_right"] == 0.75
    assert (figures["wrong_frames"], figures["believed_of_wrong"]) == (3, 0.333)
    assert figures["believed_of_wrong_by_start"]["neighbour"] == 0.5
    assert (figures["found"], figures["searched"]) == (1, 1)
    assert figures["false"] == 1
