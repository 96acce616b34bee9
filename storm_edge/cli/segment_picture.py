"""`storm-edge segment --image`: a single picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storm_edge.choices import LengthUnit
from storm_edge.cli.console import progress_bars
from storm_edge.cli.inputs import open_object
from storm_edge.errors import CameraError, ConfigError, mismatch

if TYPE_CHECKING:
    from storm_edge.engines.bundle import NetworkBundle
    from storm_edge.pipeline.segment.config import SegmentConfig
    from storm_edge.pipeline.segment.maps import FullMaps
    from storm_edge.replay.picture_scene import PictureScene
    from storm_edge.replay.segment_picture import PictureOptions, Tensors
    from storm_edge.replay.segment_scene import SegmentRun

ImageOption = Annotated[
    Path | None, typer.Option("--image", help="A single picture in place of a scene.", show_default=False)
]
ViewsOption = Annotated[
    Path | None,
    typer.Option(
        "--views",
        help="With --image and a full bundle: folder of 16 views of the object, in place of --object.",
        show_default=False,
    ),
]
DepthOption = Annotated[
    Path | None,
    typer.Option(
        "--depth",
        help="With --image: its depth picture, 16-bit. Only STORM's segmenter can do without.",
        show_default=False,
    ),
]
DepthScaleOption = Annotated[float, typer.Option("--depth-scale", help="Millimetres per step of --depth.")]
IntrinsicsOption = Annotated[
    str | None,
    typer.Option("--intrinsics", metavar="FX,FY,CX,CY", help="With --depth: the camera [px].", show_default=False),
]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture on the command line."""

    image: Path
    """Its file."""
    depth: Path | None
    """Its depth, or None."""
    depth_scale: float
    """Millimetres per step."""
    intrinsics: str | None
    """``fx,fy,cx,cy`` [px]."""
    views: Path | None
    """Folder of views of the object."""

    def scene(self) -> PictureScene | None:
        """The picture with its depth; None where there is none.

        Raises:
            ConfigError: Depth without intrinsics, or the other way round, or views beside them.
            CameraError: They are none.
        """
        import numpy as np

        from storm_edge.geometry.camera import check_K
        from storm_edge.replay.picture_scene import PictureScene

        if (self.depth is None) != (self.intrinsics is None):
            lacking, there = ("--intrinsics", "--depth") if self.intrinsics is None else ("--depth", "--intrinsics")
            raise ConfigError(mismatch(lacking, "nothing", f"both beside {there}", "give both, or neither"))
        if self.depth is None or self.intrinsics is None:
            return None
        if self.views is not None:
            remedy = "leave --depth and --intrinsics out, or give --object"
            raise ConfigError(mismatch("--views", "depth beside it", "a picture alone", remedy))
        try:
            fx, fy, cx, cy = (float(part) for part in self.intrinsics.split(","))
        except ValueError as error:
            got, remedy = self.intrinsics, "write it as 600,600,319.5,239.5"
            raise CameraError(mismatch("--intrinsics", got, "four numbers FX,FY,CX,CY", remedy)) from error
        K = check_K(np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]), what="--intrinsics")
        return PictureScene(self.image, depth=self.depth, K=K, depth_scale=self.depth_scale)


def check_picture(scene: Path | None, picture: Picture | None, views: Path | None) -> None:
    """Refuse neither or both of a scene and a picture, and views of no picture."""
    if (scene is None) == (picture is None):
        got = "neither" if scene is None else "both"
        raise typer.BadParameter(f"one of a scene and --image is needed, not {got}", param_hint="'SCENE'")
    if picture is None and views is not None:
        remedy = "leave it out: a scene is segmented by --object"
        raise ConfigError(mismatch("--views", views, "nothing beside a scene", remedy))


def segment_colours(
    picture: Picture,
    objects: list[Path],
    unit: LengthUnit | None,
    networks: NetworkBundle | None,
    config: SegmentConfig,
    out: Path,
    options: PictureOptions,
) -> SegmentRun:
    """Segment a picture without depth.

    Raises:
        ConfigError: The segmenter needs depth; or neither views nor objects are given, or both.
    """
    from storm_edge.engines.contract import EngineOptions
    from storm_edge.pipeline.segment.maps import FullMaps, make_maps
    from storm_edge.pipeline.segment.sharpen import open_sharpener
    from storm_edge.replay.segment_picture import segment_picture

    if networks is None or networks.tier != "full":
        name = "colours" if networks is None else f"bundle {networks.name}"
        remedy = "give --depth and --intrinsics, or a bundle of tier full"
        raise ConfigError(mismatch(f"{picture.image} by {name}", "no depth", "a depth picture", remedy))
    if (picture.views is None) == (not objects):
        got = "neither" if picture.views is None else "both"
        raise ConfigError(mismatch("--views and --object", got, "one of them", "say what is to be found"))
    engine_options = EngineOptions(device=options.device)
    maps = make_maps(networks, config=config, options=engine_options, device=options.device)
    assert isinstance(maps, FullMaps)
    known = _known(picture, objects, unit, networks, config, maps)
    sharpener = open_sharpener(networks, config.sharpen, engine_options) if config.sharpen.enabled else None
    return segment_picture(picture.image, known, maps, networks, out, options, sharpener=sharpener)


def _known(
    picture: Picture,
    objects: list[Path],
    unit: LengthUnit | None,
    networks: NetworkBundle,
    config: SegmentConfig,
    maps: FullMaps,
) -> dict[str, Tensors]:
    """What SOM keeps of each object, by name."""
    from storm_edge.objects.on_device import ObjectOnDevice
    from storm_edge.pipeline.segment.segmenter import Segmenter
    from storm_edge.pipeline.segment.template_cache import load_template_embedding
    from storm_edge.replay.segment_picture import encode_views, read_views

    if picture.views is not None:
        name = picture.views.resolve().name
        return {name: encode_views(maps, read_views(picture.views), name=name)}
    segmenter = Segmenter(networks, config=config)
    known: dict[str, Tensors] = {}
    with progress_bars() as report:
        for path in objects:
            bundle = open_object(path, unit, view_subdivisions=0, report=report)
            stored = load_template_embedding(path, segmenter, bundle)
            embedding = stored or segmenter.encode_object(ObjectOnDevice(bundle))
            known[bundle.object_id] = embedding.tensors
    return known
