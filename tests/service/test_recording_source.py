"""The source of kind ``recording``: a scene folder and an MCAP file give the same frames."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.errors import ConfigError
from storm_edge.frame import Frame
from storm_edge.live.sources import SourceState
from storm_edge.mcap.writer import write_mcap
from storm_edge.service.profile_sections import read_service_profile
from storm_edge.service.sources import open_source
from tests.mcap.frames import packed
from tests.service.conftest import LONG_S, Site

pytest.importorskip("rosbags")


def test_a_file_is_played_as_its_scene(site: Site) -> None:
    write_mcap(site.folder / "loss.mcap", packed(site.frames), {})
    camera = {"width_px": 96, "height_px": 72, "rate_hz": 1000}
    site.write(source={"kind": "recording", "path": "loss.mcap"}, camera=camera)
    source = open_source(read_service_profile(site.profile))
    source.open()
    found = []
    while source.status.state is not SourceState.ENDED:
        frame = source.poll(LONG_S)
        if isinstance(frame, Frame):
            found.append(frame)
    assert found
    for frame in found:
        np.testing.assert_array_equal(frame.depth_m, site.frames[frame.index].depth_m)


def test_a_camera_is_not_named_for_a_file(site: Site) -> None:
    write_mcap(site.folder / "loss.mcap", packed(site.frames), {})
    site.write(source={"kind": "recording", "path": "loss.mcap", "camera": "cam1"})
    with pytest.raises(ConfigError, match="one camera; leave it out"):
        open_source(read_service_profile(site.profile))
