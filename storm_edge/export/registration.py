"""Registration with one network's engines in place: does the object still come out where it is?

The schedule is the one that asks RefineNet first, without ScoreNet, on held-out images of objects that neither
training nor calibration has seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from storm_edge.bop.scene import BopScene
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import Engine, EngineOptions
from storm_edge.evaluate.metrics import RECALL_SHARE, ModelPoints, auc
from storm_edge.export.recipe import Recipe
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.objects.onboard import onboard
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.register.config import REFINE_FIRST
from storm_edge.pipeline.register.registrar import Registrar
from storm_edge.synthetic.scene_renderer import OBJECT_ID, write_scene
from storm_edge.synthetic.scenes import evaluation_scene
from storm_edge.synthetic.splits import SCENES_VAL_GATE

SCHEDULE = replace(REFINE_FIRST, network_weight=0.0)
"""Asks RefineNet first, and ScoreNet never."""


@dataclass(frozen=True, kw_only=True)
class RegistrationResult:
    """What came of registering the images."""

    success: float
    """Images with ADD-S within a tenth of the diameter [points of 100]."""
    add_s_auc: float
    """AUC of ADD-S to 0.1 m [points of 100]."""


@dataclass(frozen=True, kw_only=True)
class OpenedBundle(NetworkBundle):
    """A bundle of engines that are open already."""

    engines: Mapping[str, Engine]
    """By network."""

    @classmethod
    def around(cls, recipe: Recipe, engines: Mapping[str, Engine]) -> OpenedBundle:
        """The engines of one recipe, fed as it says."""
        return cls(
            name=recipe.network,
            folder=Path(),
            size_px=recipe.size_px or 80,
            preset=recipe.preset or "default",
            networks={},
            tier=recipe.tier,
            engines=engines,
        )

    def open(self, network: str, options: EngineOptions | None = None) -> Engine:
        """The engine as it was given."""
        return self.engines[network]


@cache
def _image(index: int) -> tuple[ObjectBundle, FrameBuffers, np.ndarray, np.ndarray]:
    """Object, uploaded frame, mask, and the true pose of the centred mesh."""
    with TemporaryDirectory() as folder:
        path = f"{folder}/scene"
        write_scene(Path(path), evaluation_scene(SCENES_VAL_GATE.seed(index)))
        item = onboard(f"{path}/models/obj_{OBJECT_ID:06d}.ply", "mm", view_subdivisions=1)
        scene = BopScene(path)
        frame = scene.frame(scene.frame_ids[0])
        mask = scene.mask_visib(scene.frame_ids[0], 0)
        truth = scene.ground_truth(scene.frame_ids[0])[0].T_cam_obj @ item.T_obj_centre
    buffers = FrameBuffers(*frame.size_px)
    buffers.upload(frame)
    return item, buffers, mask, truth


def register_images(recipe: Recipe, engines: Mapping[str, Engine], *, count: int) -> RegistrationResult:
    """Register ``count`` held-out images with the engines of RefineNet.

    Args:
        recipe: Says how its crops are made.
        engines: With ``refine``.
        count: Images.
    """
    networks = OpenedBundle.around(recipe, engines)
    errors, shares = [], []
    for index in range(count):
        item, buffers, mask, truth = _image(index)
        found = Registrar(ObjectOnDevice(item), networks, config=SCHEDULE).register(buffers, mask)
        error_m = ModelPoints(item.mesh.vertices).add_s(truth, found.T_cam_centre)
        errors.append(error_m)
        shares.append(error_m / item.diameter_m)
    return RegistrationResult(success=100.0 * float(np.mean(np.array(shares) < RECALL_SHARE)), add_s_auc=auc(errors))
