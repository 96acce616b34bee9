"""An object whose place is no longer believed is searched for as if it had never been seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storm_edge.errors import ConfigError
from storm_edge.live import TrackState, open_session
from tests.staged import Staged


def test_an_object_is_found_again_on_request(staged: Staged) -> None:
    picture = staged.frame()
    with open_session([staged.bundle], None) as session:
        name, states = staged.bundle.object_id, []
        for index in range(4):
            if index == 2:
                session.relocalise(name)
                assert session.objects[0].state.track_state is TrackState.SEARCHING
                assert session.objects[0].track_prior is None
            frame = replace(picture, index=index, stamp_ns=index * 33_333_333)
            (track,) = session.step(frame).tracks
            states.append(track.state)
        assert TrackState.TRACKING in states[:2]
        assert states[-1] is TrackState.TRACKING
        with pytest.raises(ConfigError, match="got no cup"):
            session.relocalise("cup")
