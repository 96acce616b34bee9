"""STORM's own rules, on a recording of an orange ball with a full bundle of tiny networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from storm_edge.bop.scene import BopScene
from storm_edge.choices import Schedule
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import EngineError
from storm_edge.frame import Frame
from storm_edge.live.config import StormConfig
from storm_edge.live.schedules import with_schedule
from storm_edge.live.track_report import Track
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.pipeline.verify.crop_encoders import FULL_CROP_PX, mask_crop
from storm_edge.replay import storm_rules
from storm_edge.replay.mask_sources import GivenMask, LabelMasks
from storm_edge.replay.storm_rules import StormSession
from storm_edge.replay.track_scene import TrackSceneOptions, track_scene
from tests.full_tier import write_full_bundle
from tests.replay.test_schedules import FRAMES, HYPOTHESES, ball, networks, recording  # noqa: F401

CONFIG = with_schedule(StormConfig(), Schedule.FOUNDATIONPOSE)


class Masks:
    """Masks of the labels, of the given images alone; remembers when it was asked."""

    def __init__(self, scene: BopScene, without: tuple[int, ...] = ()) -> None:
        self._labels, self._without = LabelMasks(scene), without
        self.asked: list[int] = []

    def masks(self, frame: Frame, bundle: ObjectBundle, count: int) -> list[GivenMask]:
        self.asked.append(frame.index)
        return [] if frame.index in self._without else self._labels.masks(frame, bundle, count)


def follow(scene: BopScene, thing: ObjectBundle, bundle: NetworkBundle, masks: Masks) -> list[Track]:
    session = StormSession([thing], bundle, config=CONFIG, masks=masks, device="cpu")
    return [track for _, tracks in session.follow(scene) for track in tracks]


@pytest.mark.parametrize("schedule", [Schedule.FOUNDATIONPOSE, Schedule.PARITY])
def test_an_object_is_registered_once_and_followed(
    recording: Path,  # noqa: F811
    ball: ObjectBundle,  # noqa: F811
    networks: NetworkBundle,  # noqa: F811
    tmp_path: Path,
    schedule: Schedule,
) -> None:
    scene, config = BopScene(recording), with_schedule(StormConfig(), schedule)
    masks = Masks(scene)
    before = networks.launch_counts.by_network()
    options = TrackSceneOptions(config=config, storm_masks=masks, pictures=False)
    run = track_scene(scene, [ball], networks, tmp_path / "out", options)
    assert masks.asked == [0]
    assert [track.state.value for track in run.tracks] == ["TRACKING"] * FRAMES
    assert run.summary["tracker"] == {"kind": "storm"}
    launches = networks.launches_since(before)
    chunks = -(-HYPOTHESES // config.register.chunk)
    # Five iterations for all hypotheses, and five in every later frame; TOM once per frame, and for the memory.
    assert launches["refine"] == 5 * chunks + 5 * (FRAMES - 1)
    assert (launches["tom_encode"], launches["tom_compare"]) == (FRAMES, FRAMES - 1)


def test_one_miss_and_the_object_is_registered_anew_in_the_next_image(
    recording: Path,  # noqa: F811
    ball: ObjectBundle,  # noqa: F811
    networks: NetworkBundle,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TOM's no is for the image in which it came: its pose is kept, and masks are asked for in the next."""
    answers = iter([-0.01, 0.01, 0.01])

    def compare(self: object, current: object, memory: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.full(len(memory), next(answers), dtype=np.float32)

    monkeypatch.setattr(storm_rules.FullCropEncoder, "compare", compare)
    scene = BopScene(recording)
    masks = Masks(scene)
    tracks = follow(scene, ball, networks, masks)
    assert [track.state.value for track in tracks] == ["TRACKING", "SUSPECT", "TRACKING", "TRACKING"]
    assert all(track.T_cam_obj is not None for track in tracks)
    assert masks.asked == [0, 2]
    # A probability of 0.9 is the border.
    assert [track.confidence for track in tracks[1::2]] == pytest.approx([0.8991, 0.9009], abs=1e-4)


def test_without_a_mask_it_is_looked_for_again(
    recording: Path,  # noqa: F811
    ball: ObjectBundle,  # noqa: F811
    networks: NetworkBundle,  # noqa: F811
) -> None:
    scene = BopScene(recording)
    masks = Masks(scene, without=(0, 1))
    tracks = follow(scene, ball, networks, masks)
    assert [track.state.value for track in tracks] == ["SEARCHING", "SEARCHING", "TRACKING", "TRACKING"]
    assert masks.asked == [0, 1, 2]


def test_a_bundle_without_the_networks_is_refused(
    recording: Path,  # noqa: F811
    ball: ObjectBundle,  # noqa: F811
    tmp_path: Path,
) -> None:
    masks = Masks(BopScene(recording))
    bundles = (
        None,
        NetworkBundle.load("nano"),
        NetworkBundle.load(write_full_bundle(tmp_path / "no-refine")),
        NetworkBundle.load(write_full_bundle(tmp_path / "no-tom", tom="none", pose=True)),
    )
    for bundle in bundles:
        with pytest.raises(EngineError) as error:
            StormSession([ball], bundle, config=CONFIG, masks=masks, device="cpu")
        assert "\n" not in str(error.value)


def test_the_crop_of_a_mask_is_a_square_in_the_image() -> None:
    """As upstream cuts it: as wide as the longer side, centred, and moved in from the edge."""
    rgb = np.zeros((60, 80, 3), dtype=np.uint8)
    rgb[10:30, 0:10] = 255  # 20 rows, 10 columns at the left edge: the square is columns 0 to 19
    mask = rgb[..., 0] > 0
    crop = mask_crop(rgb, mask)
    assert crop is not None
    assert crop.shape == (3, FULL_CROP_PX, FULL_CROP_PX)
    bright = crop[0] > crop[0].mean()
    assert bright[:, : FULL_CROP_PX // 2 - 8].all()
    assert not bright[:, FULL_CROP_PX // 2 + 8 :].any()
    assert mask_crop(rgb, np.zeros((60, 80), dtype=bool)) is None
