"""Which labels and masks of a scene are of which object, in every image anew: their order may change in between.

Labels have the number of their object. An object whose name has that number is looked up by it; several objects of
one number are instances, and the first takes the first label of that number, the second the second. In a scene of a
single number one object needs none in its name. Without labels the order of the objects is the order of the masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storm_edge.bop.scene import BopScene
from storm_edge.errors import SceneError, mismatch
from storm_edge.objects.bundle import ObjectBundle


@dataclass(frozen=True, kw_only=True)
class LabelledObject:
    """The labels and masks of one object, or of one of several instances of it, in a scene."""

    scene: BopScene
    """The scene."""
    name: str
    """Name of the object."""
    number: int | None
    """Number of its labels; None where the scene has no labels."""
    place: int
    """Which of the labels of that number is its own; without labels, which of all masks."""
    is_only_number: bool
    """Whether the scene has no label of another number: then images without labels may still have its masks."""

    def indices(self, frame_id: int) -> list[int]:
        """Places of all labels of its number in an image, in the order of the file."""
        if self.number is None or (self.is_only_number and not self.scene.is_labelled(frame_id)):
            return [self.place]
        labels = self.scene.ground_truth(frame_id)
        return [index for index, label in enumerate(labels) if label.object_id == self.number]

    def index(self, frame_id: int) -> int | None:
        """Place of its own label in an image; None where there are too few of its number."""
        indices = self.indices(frame_id)
        if self.number is None or not self.scene.is_labelled(frame_id):
            return indices[0] if indices else None
        return indices[self.place] if self.place < len(indices) else None

    def masked_index(self, frame_id: int) -> int | None:
        """The same where that label has a mask, too."""
        index = self.index(frame_id)
        return index if index is not None and self.scene.has_mask(frame_id, index) else None

    def labelled_index(self, frame_id: int) -> int | None:
        """The same where there is a pose, too."""
        return self.index(frame_id) if self.scene.is_labelled(frame_id) else None


def labelled_objects(scene: BopScene, bundles: Sequence[ObjectBundle]) -> list[LabelledObject]:
    """The labels of each object.

    Raises:
        SceneError: The scene has labels, and an object is not among them.
    """
    if not scene.has_ground_truth:
        return [
            LabelledObject(scene=scene, name=bundle.object_id, number=None, place=place, is_only_number=True)
            for place, bundle in enumerate(bundles)
        ]
    present = sorted({label.object_id for frame_id in scene.frame_ids for label in scene.ground_truth(frame_id)})
    found: list[LabelledObject] = []
    for bundle in bundles:
        number = bundle.bop_id
        if number is None and len(present) == 1 and len({other.bop_id for other in bundles}) == 1:
            number = present[0]
        if number not in present:
            remedy = "name the object bundle obj_NNNNNN after its BOP id, or find it by --init auto"
            raise SceneError(
                mismatch(scene.path, f"labels of objects {present}", f"one of {bundle.object_id}", remedy)
            )
        place = sum(other.number == number for other in found)
        found.append(
            LabelledObject(
                scene=scene,
                name=bundle.object_id,
                number=number,
                place=place,
                is_only_number=present == [number],
            )
        )
    return found
