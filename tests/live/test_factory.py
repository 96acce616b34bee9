"""What a configuration comes to in the parts of a loop."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.live import factory as assembly
from storm_edge.live.config import SessionConfig, StormConfig, TrackerKind
from storm_edge.live.factory import make_object_sessions, with_chunks
from storm_edge.live.lanes.background import BackgroundLane
from storm_edge.pipeline.detect.detector import Detector
from tests.staged import Staged, Uploads


@pytest.mark.parametrize(
    ("asked", "beside", "expected"),
    [(5, True, 5), (30, False, 30), (None, True, SessionConfig().register_chunk_beside)],
)
def test_every_registration_works_in_chunks_of_the_size_asked_for(
    staged: Staged, monkeypatch: pytest.MonkeyPatch, asked: int | None, beside: bool, expected: int
) -> None:
    seen: list[int] = []

    class Noted(Detector):
        def __init__(self, *arguments: object, **options: object) -> None:
            config = options["config"]
            seen.extend((config.fast.chunk, config.refined.chunk))  # type: ignore[attr-defined]
            super().__init__(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(assembly, "Detector", Noted)
    lane = BackgroundLane() if beside else None
    (loop,) = make_object_sessions(
        [staged.bundle], None, config=StormConfig(session=SessionConfig(register_chunk=asked)), lane=lane
    )
    assert [*seen, loop._parts.registrar._config.chunk] == [expected] * 3


def test_in_between_the_frames_schedules_keep_their_own_chunks() -> None:
    assert with_chunks(StormConfig(), beside=False) == StormConfig()


@pytest.mark.parametrize("tracker", TrackerKind)
def test_an_object_with_detector_and_verifier_is_uploaded_once(
    staged: Staged, uploads: Uploads, tracker: TrackerKind
) -> None:
    """Registrars, judges, refiners, trackers and verifiers used to upload it for themselves, eleven times."""
    bundle = replace(staged.bundle, mesh_lod=replace(staged.bundle.mesh_lod))
    config = StormConfig(session=SessionConfig(tracker=tracker))
    (loop,) = make_object_sessions([bundle], NetworkBundle.load("nano"), config=config)
    assert loop.detector is not None
    assert uploads.of(bundle) == {"mesh": 1, "mesh_lod": 1, "viewpoints": 1}
    assert len(uploads.all) == 3


@pytest.mark.parametrize("tracker", TrackerKind)
def test_every_stage_is_made_with_its_part_of_the_tree(
    staged: Staged, monkeypatch: pytest.MonkeyPatch, tracker: TrackerKind
) -> None:
    """Searches and segmentation once had numbers of their own, which no profile reached."""
    given: dict[str, list[dict[str, Any]]] = {}

    def note(name: str) -> None:
        make = getattr(assembly, name)

        def noted(*arguments: Any, **options: Any) -> Any:
            given.setdefault(name, []).append(options)
            return make(*arguments, **options)

        monkeypatch.setattr(assembly, name, noted)

    for name in ("Segmenter", "Detector", "Registrar", "StepwiseTracker", "BatchedGroup", "open_verifier"):
        note(name)
    config = StormConfig(session=SessionConfig(tracker=tracker))
    parts = {f.name: getattr(config, f.name) for f in fields(config)}
    config = replace(config, **{name: replace(part) for name, part in parts.items() if is_dataclass(part)})  # its own
    make_object_sessions([staged.bundle], NetworkBundle.load("nano"), config=config)
    assert given["Segmenter"][0]["config"] is config.segment
    assert given["Detector"][0]["config"] is config.detect
    assert given["Detector"][0]["geometry"] is config.refine
    assert given["Registrar"][0]["config"] is config.register
    assert given["Registrar"][0]["geometry"] is config.refine
    assert given["open_verifier"][0]["config"] is config.verify
    assert all(options["config"] is config.track.stepwise for options in given["StepwiseTracker"])
    if tracker is TrackerKind.BATCHED:
        assert given["BatchedGroup"][0]["config"] is config.track.batched
        assert given["BatchedGroup"][0]["fallback"] is config.track.stepwise
