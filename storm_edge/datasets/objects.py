"""The objects of a dataset, each onboarded once and kept in the work folder, and which of them a scene has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from storm_edge.bop.dataset import BopDataset, labelled_counts
from storm_edge.bop.scene import BopScene
from storm_edge.errors import ConfigError, mismatch
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.bundle_files import StoredEmbedding

Onboard = Callable[[Path], ObjectBundle]
"""Makes an object of a model file [mm]."""
Embed = Callable[[ObjectBundle], Sequence[StoredEmbedding]]
"""What is to be stored of an object for segmenters that take long to look at it."""


@dataclass(frozen=True, kw_only=True)
class GivenObject:
    """An object that the user named: it is used in place of the dataset's model, and others are left out."""

    path: Path
    """Where it came from."""
    bundle: ObjectBundle
    """The object."""


class DatasetObjects:
    """Objects by number; a model is onboarded when a scene first asks for it.

    Args:
        dataset: Whose models.
        folder: Where objects are kept; None keeps them in memory alone.
        onboard: Makes one.
        embed: What is stored with it.
        given: Objects that the user named; empty for all models.
        measured: Whether errors are measured on them: evaluation models are taken where there are any.

    Raises:
        ConfigError: A given object has no number in its name, or two have one number.
    """

    def __init__(
        self,
        dataset: BopDataset,
        folder: Path | None,
        *,
        onboard: Onboard,
        embed: Embed | None = None,
        given: Sequence[GivenObject] = (),
        measured: bool = False,
    ) -> None:
        self._measured = measured
        self._dataset, self._folder, self._onboard, self._embed = dataset, folder, onboard, embed
        self._open: dict[int, tuple[Path, ObjectBundle]] = {}
        for item in given:
            number = item.bundle.bop_id
            if number is None or number in self._open:
                got = "no number" if number is None else f"number {number} again"
                remedy = "onboard it with --id obj_NNNNNN"
                raise ConfigError(mismatch(item.path, got, "objects named by their BOP numbers", remedy))
            self._open[number] = (item.path, item.bundle)
        self._only = frozenset(self._open) or None

    def get(self, number: int) -> tuple[Path, ObjectBundle]:
        """An object, and where it came from.

        Raises:
            SceneError: The dataset has no such model.
            MeshError: Its model is not usable.
        """
        if number not in self._open:
            self._open[number] = self._make(number)
        return self._open[number]

    def of_scene(self, scene: BopScene) -> tuple[list[Path], list[ObjectBundle]]:
        """All objects that are looked for in a scene, with their paths: those that its labels list, each as often as
        it is in one image; all objects once where there are no labels.

        Raises:
            StormEdgeError: As `get`.
        """
        counts = dict.fromkeys(sorted(self._only or self._dataset.models), 1)
        if scene.has_ground_truth:
            counts = labelled_counts(scene)
        numbers = [n for n, count in counts.items() if self._only is None or n in self._only for _ in range(count)]
        found = [self.get(number) for number in numbers]
        return [path for path, _ in found], [bundle for _, bundle in found]

    def _make(self, number: int) -> tuple[Path, ObjectBundle]:
        model = self._dataset.evaluation_model(number) if self._measured else self._dataset.model(number)
        if self._folder is None:
            return model, self._onboard(model)
        place = self._folder / model.stem
        if not place.is_dir():
            bundle = self._onboard(model)
            bundle.save(place, embeddings=() if self._embed is None else self._embed(bundle))
        return place, ObjectBundle.load(place)
