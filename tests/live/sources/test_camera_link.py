from __future__ import annotations

import numpy as np
import pytest

from storm_edge.live.sources.camera_link import CameraImage, FrameSlots, Link

SIZE_PX = (5, 7)  # sizes that no alignment suits


def image(number: int) -> CameraImage:
    rng = np.random.default_rng(number)
    return CameraImage(
        rgb=rng.integers(0, 256, (*SIZE_PX, 3), np.uint8),
        depth=rng.integers(0, 65536, SIZE_PX, np.uint16),
        K=rng.random((3, 3)),
        number=number,
        stamp_ns=-number,
        depth_unit_m=0.00025,
    )


def test_the_other_side_reads_what_was_written_and_has_copies() -> None:
    ours, file = FrameSlots.make(SIZE_PX, 3)
    with file:
        theirs = FrameSlots(file.fileno(), SIZE_PX, 3)
    for slot in range(3):
        theirs.write(slot, 10 + slot, image(slot))
    read = [ours.read(slot, 10 + slot) for slot in range(3)]
    theirs.write(0, 20, image(9))
    for slot, found in enumerate(read):
        assert found is not None
        wanted = image(slot)
        for name in ("rgb", "depth", "K"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
        assert (found.number, found.stamp_ns, found.depth_unit_m) == (slot, -slot, 0.00025)
    ours.close()
    ours.close()
    theirs.close()


def test_a_frame_that_is_not_the_one_that_was_told_is_refused() -> None:
    slots, file = FrameSlots.make(SIZE_PX, 2)
    with file:
        slots.write(1, 7, image(1))
        assert slots.read(1, 8) is None
        assert slots.read(0, 7) is None
        slots._parts(1)[3][0] = 6  # the writer was stopped before the end
        assert slots.read(1, 7) is None
    slots.close()


def test_messages_come_whole_in_order_and_the_end_is_told() -> None:
    ours, end = Link.pair()
    theirs = Link(end)
    assert ours.receive(0.0) is None
    assert theirs.send(frame=1)
    assert theirs.send(camera="x", counts={"lone": 2})
    assert ours.receive(1.0) == {"frame": 1}
    assert ours.receive(1.0) == {"camera": "x", "counts": {"lone": 2}}
    theirs.close()
    with pytest.raises(EOFError):
        ours.receive(1.0)
    assert not ours.send(free=0)
    ours.close()
    ours.close()
