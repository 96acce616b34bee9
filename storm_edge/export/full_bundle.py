"""The official networks as one bundle: which files that takes, where they are from, and finding them in a folder.

None of them comes with this project. A network may come in several forms, of which the first that lies in the folder
is taken; each has its recipe.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from storm_edge.errors import CheckpointError, mismatch
from storm_edge.export.published import take_published
from storm_edge.export.recipe import Recipe, read_recipe
from storm_edge.export.sources import load_checkpoint

_FOUNDATIONPOSE = "the weights folder that the FoundationPose project page links (NVlabs/FoundationPose)"
_RESEARCH = "NVIDIA's source code licence: research and evaluation only"
_NGC = "NVIDIA's catalogue, nvidia/isaac/foundationpose"
_NGC_LICENCE = "NVIDIA's terms of that catalogue entry"
_STORM = "its authors (dengyufuqin/Storm), who link no download; or train one with their trainer"
_NO_LICENCE = "none is stated"
_SAM2 = "the checkpoint table of the SAM 2 project page (facebookresearch/sam2)"
_DINOV2 = "the model table of the DINOv2 project page (facebookresearch/dinov2)"
_APACHE = "Apache-2.0"


@dataclass(frozen=True, kw_only=True)
class OfficialFile:
    """One published form of a network."""

    file: str
    """Where it lies in the folder of weights, as its authors name it."""
    recipe: str
    """Its recipe, in the folder of recipes."""
    origin: str
    """Where it is published."""
    licence: str
    """Under which licence."""


@dataclass(frozen=True, kw_only=True)
class FoundNetwork:
    """A network of the bundle, and what lies in the folder of it."""

    network: str
    """Its name."""
    forms: tuple[OfficialFile, ...]
    """In which it is published, the first is the usual one."""
    file: OfficialFile | None
    """The one that was found; None where none was."""


def _sam2(file: str, recipe: str) -> OfficialFile:
    return OfficialFile(file=file, recipe=recipe, origin=_SAM2, licence=_APACHE)


OFFICIAL: Mapping[str, tuple[OfficialFile, ...]] = {
    "refine": (
        OfficialFile(
            file="2023-10-28-18-33-37/model_best.pth",
            recipe="full-refine.yaml",
            origin=_FOUNDATIONPOSE,
            licence=_RESEARCH,
        ),
        OfficialFile(
            file="refine_model.onnx", recipe="variants/nvidia-refine.yaml", origin=_NGC, licence=_NGC_LICENCE
        ),
    ),
    "score": (
        OfficialFile(
            file="2024-01-11-20-02-45/model_best.pth",
            recipe="full-score.yaml",
            origin=_FOUNDATIONPOSE,
            licence=_RESEARCH,
        ),
        OfficialFile(file="score_model.onnx", recipe="variants/nvidia-score.yaml", origin=_NGC, licence=_NGC_LICENCE),
    ),
    "som": (OfficialFile(file="best.pth", recipe="full-som.yaml", origin=_STORM, licence=_NO_LICENCE),),
    "tom": (
        OfficialFile(file="tom1_epoch10.pth", recipe="full-tom.yaml", origin=_STORM, licence=_NO_LICENCE),
        OfficialFile(
            file="dinov2_vits14_pretrain.pth", recipe="variants/similarity.yaml", origin=_DINOV2, licence=_APACHE
        ),
    ),
    "sam2": (
        _sam2("sam2.1_hiera_tiny.pt", "full-sam2.yaml"),
        _sam2("sam2.1_hiera_small.pt", "variants/sam2.1-small.yaml"),
        _sam2("sam2_hiera_tiny.pt", "variants/sam2.0-tiny.yaml"),
        _sam2("sam2_hiera_small.pt", "variants/sam2.0-small.yaml"),
    ),
}
"""Networks of a full bundle, and their published forms."""


def find_weights(weights: Path, *, without: Collection[str] = ()) -> list[FoundNetwork]:
    """What lies in a folder, network by network.

    Args:
        weights: The folder.
        without: Networks that are not wanted.

    Raises:
        CheckpointError: There is no such folder.
    """
    if not weights.is_dir():
        expected = "a folder with the official files"
        raise CheckpointError(mismatch(weights, "no such folder", expected, "name one with --weights"))
    return [
        FoundNetwork(
            network=network,
            forms=forms,
            file=next((form for form in forms if (weights / form.file).is_file()), None),
        )
        for network, forms in OFFICIAL.items()
        if network not in without
    ]


def describe_network(found: FoundNetwork) -> str:
    """What was found of a network, or which files would do, where they are published and under which licence."""
    if found.file is not None:
        return f"{found.network}: {found.file.file} ({found.file.licence})"
    forms: dict[tuple[str, str], list[str]] = {}
    for form in found.forms:
        forms.setdefault((form.origin, form.licence), []).append(form.file)
    each = [f"{' or '.join(files)} from {origin}; licence: {licence}" for (origin, licence), files in forms.items()]
    return f"{found.network}: lacking; {', or '.join(each)}"


def require_all(found: Sequence[FoundNetwork], weights: Path) -> None:
    """Refuse a folder that lacks a network.

    Raises:
        CheckpointError: It does; the message names the usual files.
    """
    lacking = [item for item in found if item.file is None]
    if lacking:
        got = f"nothing of {', '.join(item.network for item in lacking)}"
        expected = ", ".join(item.forms[0].file for item in lacking)
        remedy = f"put them there, or leave them out with {' '.join(f'--without {i.network}' for i in lacking)}"
        raise CheckpointError(mismatch(weights, got, expected, remedy))


def recipes_of(found: Sequence[FoundNetwork], weights: Path, recipes: Path) -> list[Recipe]:
    """The recipes of what was found, with the files that lie in the folder as their sources.

    Raises:
        ConfigError: A recipe is not there or not right.
    """
    made = []
    for item in found:
        if item.file is None:
            continue
        recipe, path = read_recipe(recipes / item.file.recipe), (weights / item.file.file).resolve()
        source = recipe.source
        changed = {"checkpoint": path} if source.onnx is None else {"onnx": dict.fromkeys(source.onnx, path)}
        made.append(recipe.model_copy(update={"source": source.model_copy(update=changed)}))
    return made


def check_weights(recipes: Sequence[Recipe]) -> None:
    """Read every file that recipes name, so that a wrong one is told before the long work begins.

    Raises:
        CheckpointError: One is of another network, or damaged.
        EngineError: An ONNX file is.
        BackendError: SAM2 is asked for and its package is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        for recipe in recipes:
            if recipe.source.checkpoint is not None:
                load_checkpoint(recipe, recipe.source.checkpoint)
            for graph, path in (recipe.source.onnx or {}).items():
                take_published(path, Path(folder) / f"{graph}.onnx")
