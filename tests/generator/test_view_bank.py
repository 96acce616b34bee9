"""The bank holds the views that run time makes, also after a slot was renewed."""

from __future__ import annotations

import numpy as np

from storm_edge.generator.scenes import SceneGenerator
from storm_edge.generator.view_bank import ViewBank
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.segment_inputs.object_views import object_views


def test_views_follow_the_pool(small_generator: SceneGenerator) -> None:
    pool = small_generator.pool
    bank = ViewBank(pool)
    before = bank.channels[0].clone()
    pool.renew(1)
    bank.refresh()
    assert not bool((bank.channels[0] == before).all())
    for slot in (0, 1):
        expected = object_views(MeshBuffers.from_mesh(pool.mesh(slot)), pool.diameters_m[slot])
        np.testing.assert_allclose(bank.channels[slot].numpy(), expected.channels, atol=2e-3)
        np.testing.assert_array_equal(bank.rgb[slot].numpy(), expected.colours.rgb.reshape(-1))
