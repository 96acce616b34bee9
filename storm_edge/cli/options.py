"""The options that several commands share, written once. A command gives the default; the words are here.

Light to import: no numpy, no Warp.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from storm_edge.choices import Backend, LengthUnit, Schedule, TrackerKind

LABELS = "scene_gt.json"
"""Name of a scene's label file, where none is named."""
PSEUDO_LABELS = "scene_gt_pseudo.json"
"""Name of estimated labels, which are used where there are no others."""
NO_NETWORKS = "none"
"""Name that stands for no network bundle."""
NANO = "nano"
"""Name of the shipped network bundle."""

SceneArgument = Annotated[Path, typer.Argument(help="BOP scene folder.", show_default=False)]
ObjectsOption = Annotated[
    list[Path],
    typer.Option(
        "--object",
        help="Object bundle or model file; may be given several times, one of them for several instances of it.",
        show_default=False,
    ),
]
ObjectsOfAnyOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--object",
        help="Object bundle or model file; may be given several times, one of them for several instances of it. Of a "
        "dataset all its models by default.",
        show_default=False,
    ),
]
SceneOrDatasetArgument = Annotated[
    Path, typer.Argument(help="BOP scene folder, or a BOP dataset folder for all its scenes.", show_default=False)
]
SceneOrDatasetOption = Annotated[
    Path,
    typer.Option("--scene", help="BOP scene folder with labels, or a BOP dataset folder.", show_default=False),
]
SplitOption = Annotated[
    str | None,
    typer.Option("--split", help="Split of a dataset; by default test, or the only one.", show_default=False),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Do the I-th of N parts of a dataset's scenes, to a folder of its own; storm-edge merge joins them.",
        show_default=False,
    ),
]
InstancesOption = Annotated[
    int, typer.Option("--instances", min=1, help="How many of each object there are, each followed by itself.")
]
UnitOption = Annotated[LengthUnit | None, typer.Option("--unit", help="Unit of length of model files.")]
LabelsOption = Annotated[str | None, typer.Option("--labels", help=f"Name of the label file; {LABELS} by default.")]
CameraOption = Annotated[
    str | None,
    typer.Option("--camera", help="Which of a scene's cameras, such as cam1 for rgb_cam1.", show_default=False),
]
BundleOption = Annotated[
    str,
    typer.Option("--bundle", help=f"Network bundle: a name or a folder; '{NO_NETWORKS}' runs on geometry alone."),
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:<i>.")]
BackendOption = Annotated[
    Backend,
    typer.Option(
        "--backend", help="What runs the networks; the tensorrt ones run what storm-edge build made of a bundle."
    ),
]
EnginesOption = Annotated[Path, typer.Option("--engines", help="Folder of all built engines.")]
Sam2Option = Annotated[bool, typer.Option("--sam2", help="Sharpen masks with the bundle's SAM2, where both agree.")]
TrackerOption = Annotated[
    TrackerKind | None,
    typer.Option(
        "--tracker",
        help="How objects are followed: all in one step without the host in between (a CUDA graph if that can be), "
        "or each by itself with as much work as it asks for. By default batched on CUDA, stepwise on a CPU.",
        show_default=False,
    ),
]
ScheduleOption = Annotated[
    Schedule | None,
    typer.Option(
        "--schedule",
        help="How much networks and geometry each do for a pose. By default the profile's, or what the bundle is "
        "for: hybrid for the official networks, geometry-first for others.",
        show_default=False,
    ),
]
ForceOption = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Write to a folder with other files, too. They are kept: only what an older result of this command left "
        "is replaced.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Another value for a key of the configuration, see storm-edge config show; may be given several times.",
        show_default=False,
    ),
]
ConfigOfProfileOption = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        help="Machine profile whose configuration is used; device, bundle and rate are the options'.",
        show_default=False,
    ),
]
