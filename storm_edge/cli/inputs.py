"""How the commands open what they are given: a recording with its labels, the networks, an object."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from storm_edge.choices import ENGINE_FOLDER, Backend, LengthUnit, Schedule
from storm_edge.cli.console import Report, say
from storm_edge.cli.options import LABELS, NO_NETWORKS, PSEUDO_LABELS
from storm_edge.errors import ConfigError, mismatch

if TYPE_CHECKING:
    from storm_edge.bop.scene import BopScene
    from storm_edge.engines.bundle import NetworkBundle
    from storm_edge.live.profile import MachineProfile
    from storm_edge.objects.bundle import ObjectBundle
    from storm_edge.objects.onboard import Symmetries
    from storm_edge.replay.scene import Scene

MCAP = ".mcap"
"""Suffix of recordings that `storm-edge run` leaves."""
MODELS_INFO = "models_info.json"
NO_SYMMETRY = "none"
"""Value of `--symmetry` that ignores what a `models_info.json` says."""


def open_scene(path: Path, labels: str | None, camera: str | None = None) -> BopScene:
    """A BOP scene with the named label file, or `scene_gt.json`; where only pseudo labels are there, those, and it
    says so. ``camera`` is one of several.
    """
    from storm_edge.bop.scene import BopScene

    if labels is None and not (path / LABELS).is_file() and (path / PSEUDO_LABELS).is_file():
        say(f"{path}: no {LABELS}, so the labels of {PSEUDO_LABELS} are used; they are estimates, not measurements")
        labels = PSEUDO_LABELS
    return BopScene(path, labels=labels, camera=camera)


def open_recording(path: Path, labels: str | None, camera: str | None = None) -> Scene:
    """A BOP scene as by `open_scene`, or the frames of an MCAP file.

    Raises:
        ConfigError: Labels or a camera are named for an MCAP file.
    """
    if path.suffix.lower() != MCAP:
        return open_scene(path, labels, camera)
    from storm_edge.mcap.reader import McapScene

    for option, value in (("--labels", labels), ("--camera", camera)):
        if value is not None:
            expected = f"nothing beside {path.name}, which has neither labels nor several cameras"
            raise ConfigError(mismatch(option, value, expected, f"leave {option} out"))
    return McapScene(path)


def open_networks(
    name: str, *, backend: Backend = Backend.ONNXRUNTIME, engines: Path = ENGINE_FOLDER, device: str = "cpu"
) -> NetworkBundle | None:
    """The network bundle of that name or folder; None for ``none``, which runs on geometry alone.

    Raises:
        BackendError: What is to run it is not here, or does not run on ``device``.
    """
    from storm_edge.engines.backend import require_backend
    from storm_edge.engines.bundle import NetworkBundle

    if name == NO_NETWORKS:
        return None
    require_backend(backend, device)
    return NetworkBundle.load(name, backend=backend, engine_folder=engines)


def open_profile(
    path: Path, settings: list[str], *, schedule: Schedule | None = None, bundle: str | None = None
) -> MachineProfile:
    """A machine profile, if this machine has what it asks for; arguments as of `read_profile`.

    Raises:
        ConfigError: It cannot be read, or asks for more than there is.
        BackendError: Its device is not here.
    """
    from storm_edge.bench.memory import device_memory_mib
    from storm_edge.environment import physical_memory_mib, usable_cores
    from storm_edge.kernels.device import require_device
    from storm_edge.live.profile import check_machine, read_profile

    profile = read_profile(path, settings, schedule=schedule, bundle=bundle)
    require_device(profile.device)
    _, device_mib = device_memory_mib(profile.device)
    check_machine(
        profile, usable_cores=usable_cores(), memory_mib=physical_memory_mib(), device_memory_mib=device_mib
    )
    return profile


def open_object(
    path: Path,
    unit: LengthUnit | None,
    *,
    view_subdivisions: int = 3,
    as_upstream: bool = False,
    report: Report,
) -> ObjectBundle:
    """The object of a bundle folder, or of a model file that is onboarded on the spot, for parity where asked.

    Raises:
        ConfigError: A model file without a unit.
    """
    from storm_edge.objects.bundle import ObjectBundle
    from storm_edge.objects.mesh_io import FORMATS

    if path.suffix.lower() not in FORMATS:
        return ObjectBundle.load(path)
    if unit is None:
        expected = "--unit mm or --unit m beside a model file"
        raise ConfigError(mismatch("--unit", "nothing", expected, "state the unit or give an object bundle"))
    return make_object(path, unit, view_subdivisions=view_subdivisions, as_upstream=as_upstream, report=report)


def open_instances(
    paths: list[Path],
    count: int,
    unit: LengthUnit | None,
    *,
    view_subdivisions: int = 3,
    as_upstream: bool = False,
    report: Report,
) -> tuple[list[Path], list[ObjectBundle]]:
    """Objects with their paths, ``count`` of each; one that is named several times is opened once."""
    opened: dict[Path, ObjectBundle] = {}
    for path in paths:
        if path not in opened:
            opened[path] = open_object(
                path, unit, view_subdivisions=view_subdivisions, as_upstream=as_upstream, report=report
            )
    every = [path for path in paths for _ in range(count)]
    return every, [opened[path] for path in every]


def make_object(
    model: Path,
    unit: LengthUnit,
    *,
    object_id: str | None = None,
    symmetry: list[str] | None = None,
    view_subdivisions: int = 3,
    as_upstream: bool = False,
    report: Report,
) -> ObjectBundle:
    """Onboard ``model`` with the symmetries the user stated, or else those of the `models_info.json` beside it."""
    from storm_edge.objects.onboard import onboard

    symmetries = _stated_symmetries(symmetry) if symmetry else _listed_symmetries(model, object_id or model.stem)
    return onboard(
        model,
        unit,
        object_id=object_id,
        symmetries=symmetries,
        view_subdivisions=view_subdivisions,
        as_upstream=as_upstream,
        say=say,
        progress=report,
    )


def _stated_symmetries(options: list[str]) -> Symmetries:
    """The symmetries of `--symmetry` options."""
    from storm_edge.objects.onboard import Symmetries, symmetry_about

    if options == [NO_SYMMETRY]:
        return Symmetries()
    parts = [symmetry_about(text) for text in options]
    return Symmetries(
        discrete=tuple(motion for part in parts for motion in part.discrete),
        continuous=tuple(axis for part in parts for axis in part.continuous),
        about_centre=True,
    )


def _listed_symmetries(model: Path, object_id: str) -> Symmetries:
    """The symmetries that a `models_info.json` beside the model lists for it."""
    from storm_edge.bop.models import read_models_info
    from storm_edge.objects.bundle import number_in
    from storm_edge.objects.onboard import Symmetries

    path = model.parent / MODELS_INFO
    number = number_in(object_id)
    info = read_models_info(path).get(number) if number is not None and path.is_file() else None
    if info is None or not (info.symmetries_discrete or info.symmetries_continuous):
        return Symmetries()
    say(f"{path} lists symmetries of object {number}; they are used (--symmetry {NO_SYMMETRY} to ignore them)")
    return Symmetries(discrete=info.symmetries_discrete, continuous=info.symmetries_continuous)
