"""Overlays, video and plots of a tiny scene: what must be drawn is drawn where geometry says."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from storm_edge.bop.scene import BopScene
from storm_edge.errors import OutputError
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from storm_edge.replay.drawing.images import contact_sheet, write_picture
from storm_edge.replay.drawing.plots import plot_run
from storm_edge.replay.drawing.pose_overlay import STATE_COLOURS, OverlayPainter, drawn_colour
from storm_edge.replay.drawing.video import Video
from tests.tiny_scene import MODEL, pose, write_tiny_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> BopScene:
    return BopScene(write_tiny_scene(tmp_path_factory.mktemp("scene") / "tiny"))


@pytest.fixture(scope="module")
def bundle(scene: BopScene) -> ObjectBundle:
    return onboard(scene.path / MODEL, "mm", object_id="box", view_subdivisions=0)


def track(
    state: TrackState = TrackState.TRACKING, *, frame: int = 0, posed: bool = True, confidence: float = 0.9
) -> Track:
    T = pose(frame) if posed else None
    spent = {"track": 9.0}
    return Track(
        frame=frame, stamp_ns=0, object_id="box", state=state, T_cam_obj=T, confidence=confidence, latency_ms=spent
    )


def test_the_overlay_changes_the_object_and_the_caption_only(scene: BopScene, bundle: ObjectBundle) -> None:
    frame = scene.frame(0)
    picture = OverlayPainter([bundle], frame.size_px).paint(frame, [track()], note="1.0 mm")
    changed = (picture != frame.rgb).any(axis=2)
    # The outline is 2 px wide and axes of half a diameter reach 20 px past the box.
    near = cv2.dilate(scene.mask_visib(0).astype(np.uint8), np.ones((45, 45), np.uint8)) > 0
    near[:16] = True
    assert changed[scene.mask_visib(0)].mean() > 0.95
    assert not changed[~near].any()


def test_the_outline_has_the_colour_of_the_state(scene: BopScene, bundle: ObjectBundle) -> None:
    frame = scene.frame(0)
    painter = OverlayPainter([bundle], frame.size_px)
    for state in (TrackState.TRACKING, TrackState.SUSPECT):
        picture = painter.paint(frame, [track(state)]).astype(int)
        distance = np.abs(picture - STATE_COLOURS[state]).sum(axis=2)
        edge = cv2.morphologyEx(scene.mask_visib(0).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        assert np.median(distance[edge > 0]) < 60


def test_a_pose_that_is_not_believed_is_not_green() -> None:
    """A state changes after some frames of doubt; the picture shows what was judged in this one."""
    assert drawn_colour(track(confidence=0.11)) == STATE_COLOURS[TrackState.SUSPECT]
    assert drawn_colour(track(confidence=0.5)) == STATE_COLOURS[TrackState.TRACKING]
    assert drawn_colour(track(TrackState.LOST, confidence=0.1)) == STATE_COLOURS[TrackState.LOST]


def test_a_lost_object_is_not_drawn(scene: BopScene, bundle: ObjectBundle) -> None:
    frame = scene.frame(0)
    picture = OverlayPainter([bundle], frame.size_px).paint(frame, [track(TrackState.LOST, posed=False)])
    np.testing.assert_array_equal(picture[16:], frame.rgb[16:])


def test_pictures_are_written_as_they_are(tmp_path: Path, scene: BopScene) -> None:
    rgb = scene.frame(0).rgb
    write_picture(tmp_path / "a.png", rgb)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), rgb)
    with pytest.raises(OutputError, match=r"a\.png"):
        write_picture(tmp_path / "missing" / "a.png", rgb)


def test_contact_sheet_is_filled_row_by_row() -> None:
    shades = [np.full((20, 40, 3), value, dtype=np.uint8) for value in (10, 20, 30)]
    sheet = contact_sheet(shades, columns=2, width_px=40)
    assert sheet.shape == (40, 80, 3)
    assert [int(sheet[r, c, 0]) for r, c in [(5, 5), (5, 45), (25, 5), (25, 45)]] == [10, 20, 30, 0]


def test_a_video_is_read_back_with_its_pictures(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In a codec and a container that browsers play."""
    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200)]
    with Video(tmp_path / "v.webm", (48, 64), rate_hz=10.0) as video:
        for colour in colours:
            video.write(np.full((48, 64, 3), colour, dtype=np.uint8))
    reader = cv2.VideoCapture(str(tmp_path / "v.webm"))
    assert int(reader.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little") == b"VP80"
    assert (tmp_path / "v.webm").read_bytes()[:4] == b"\x1aE\xdf\xa3"  # EBML: WebM, not another container
    assert capfd.readouterr().err == ""
    for colour in colours:
        found, picture = reader.read()
        assert found
        np.testing.assert_allclose(picture[..., ::-1].mean(axis=(0, 1)), colour, atol=12)  # lossy; worst seen 3
    assert not reader.read()[0]
    video.close()


def test_a_video_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="keep one size"), Video(tmp_path / "v.webm", (48, 64)) as video:
        video.write(np.zeros((10, 10, 3), dtype=np.uint8))
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match=r"v\.webm"):
        Video(tmp_path / "missing" / "v.webm", (48, 64))


@pytest.mark.parametrize("with_errors", [True, False])
def test_a_plot_is_a_page(tmp_path: Path, with_errors: bool) -> None:
    states = [TrackState.REGISTERING, TrackState.TRACKING, TrackState.TRACKING, TrackState.SUSPECT, TrackState.LOST]
    tracks = [track(state, frame=i) for i, state in enumerate(states)]
    errors = {"ADD-S": {0: 0.001, 1: 0.002, 2: 0.003, 3: 0.02, 4: float("inf")}} if with_errors else None
    plot_run(tmp_path / "plot.png", tracks, title="box", errors_m=errors, limit_m=0.02)
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.size[0] > 1000
    with pytest.raises(OutputError, match=r"plot\.png"):
        plot_run(tmp_path / "missing" / "plot.png", tracks, title="box")
