"""What the options of `storm-edge segment` choose: the recording, and the configuration of the segmenter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from storm_edge.choices import Framing
from storm_edge.cli.inputs import open_scene
from storm_edge.cli.options import LABELS
from storm_edge.cli.segment_picture import Picture
from storm_edge.errors import ConfigError, mismatch

if TYPE_CHECKING:
    from storm_edge.engines.bundle import NetworkBundle
    from storm_edge.pipeline.segment.config import SegmentConfig
    from storm_edge.replay.scene import Scene


def segmented_recording(
    scene: Path | None, picture: Picture | None, camera: str | None, *, whole: bool
) -> Scene | None:
    """The scene, or the picture as one; None for a whole dataset, and for a picture without depth."""
    if picture is not None:
        return picture.scene()
    return None if whole or scene is None else open_scene(scene, LABELS, camera)


def segment_config(
    config: SegmentConfig,
    networks: NetworkBundle | None,
    *,
    colour: bool,
    framing: Framing | None,
    sam2: bool,
    threshold: float | None,
) -> SegmentConfig:
    """The configuration with what the options say.

    Raises:
        ConfigError: A framing is named that nothing uses.
    """
    from storm_edge.pipeline.segment.config import Source

    if framing is not None and (colour or networks is None or networks.tier != "full"):
        remedy = "leave it out, or use a bundle of tier full"
        raise ConfigError(
            mismatch("--framing", framing.value, "nothing: only STORM's segmenter frames images", remedy)
        )
    if colour:
        config = replace(config, source=Source.COLOUR)
    if framing is not None:
        config = replace(config, full_som=replace(config.full_som, framing=framing))
    if sam2:
        config = replace(config, sharpen=replace(config.sharpen, enabled=True))
    if threshold is not None:
        config = replace(config, proposals=replace(config.proposals, mask_threshold=threshold))
    return config
