"""The object bundle: everything the pipeline needs to know about one object, and its folder on disk.

The folder holds `object.json` (what it is, for people and for checks), `arrays.npz` (all arrays, uncompressed, so
that loading is one read), and in `embeddings/` the template embeddings of networks. The JSON carries the fingerprints
of all files: a bundle that was edited or cut short is refused, see `bundle_files`. Bundles are made by `onboard`.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge import __version__
from storm_edge.array_file import parse_arrays
from storm_edge.errors import ObjectBundleError, OutputError, mismatch
from storm_edge.files import sha256
from storm_edge.geometry.mesh import Mesh
from storm_edge.objects.bundle_files import (
    ARRAYS,
    DESCRIPTION,
    EMBEDDINGS,
    OBJECT,
    ONBOARD_AGAIN,
    SCHEMA,
    Description,
    EmbeddingFile,
    Source,
    StoredEmbedding,
    checked_file,
    described,
    embedding_file,
)
from storm_edge.objects.colour_values import has_colours, is_colourless
from storm_edge.objects.near_symmetry import NearSymmetries, near_symmetries
from storm_edge.objects.upstream_model import UpstreamModel
from storm_edge.objects.viewpoints import SparseViewpoints
from storm_edge.result_folder import atomic_folder

Float64 = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]

_NEAR = "near_symmetries"
_UPSTREAM = "upstream"
_MESH_FIELDS = ("vertices", "faces", "normals", "colours", "uv", "texture")


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """Where an object came from."""

    name: str
    """File name of the model, without its folder."""
    sha256: str
    """Fingerprint of that file."""
    unit: str
    """Unit of length the user stated for it."""


@dataclass(frozen=True, kw_only=True)
class ObjectBundle:
    """One onboarded object. ``centre`` is the frame at the middle of the model's bounding box, axes unchanged."""

    object_id: str
    """Name under which its poses are reported."""
    mesh: Mesh
    """The model in the centre frame [m], at most 20,000 faces."""
    mesh_lod: Mesh
    """A coarser one for small crops [m], at most 4,000 faces."""
    diameter_m: float
    """Largest distance between two vertices [m]."""
    T_obj_centre: Float64
    """Centre frame to the frame of the model file [m], shape ``(4, 4)``."""
    symmetries: Float64
    """Motions of the centre frame that map the object onto itself, identity first, shape ``(S, 4, 4)``."""
    rotation_grid: Float64
    """First guesses ``R_cam_obj`` of registration, reduced by symmetry, shape ``(G, 3, 3)``."""
    viewpoints: SparseViewpoints
    """Contour and surface points per viewing direction, for the geometric refinement; centre frame."""
    source: ModelSource
    """The file it was made from."""
    stored_near_symmetries: NearSymmetries | None = None
    """As onboarding found them; None in bundles made before it looked for them."""
    description: str | None = None
    """The object in words, where onboarding was given or made some."""
    upstream: UpstreamModel | None = None
    """The model as upstream's programs have it, for the schedule ``parity``; None where onboarding was not asked."""

    @functools.cached_property
    def near_symmetries(self) -> NearSymmetries:
        """Turns after which the object looks nearly as before; found now where they are not stored."""
        return self.stored_near_symmetries or near_symmetries(self.mesh_lod)

    @property
    def bop_id(self) -> int | None:
        """The number in a name such as ``obj_000005``, else None."""
        return number_in(self.object_id)

    @functools.cached_property
    def is_colourless(self) -> bool:
        """Whether the model's colours say nothing: it has none, or one grey (`colour_values.is_colourless`)."""
        return is_colourless(self.mesh)

    @functools.cached_property
    def has_colours(self) -> bool:
        """Whether the model says what colour it has, be it one grey (`colour_values.has_colours`)."""
        return has_colours(self.mesh)

    def save(self, path: Path | str, *, embeddings: Sequence[StoredEmbedding] = (), force: bool = False) -> None:
        """Write the bundle folder; an older bundle of that name is replaced, anything else is not touched.

        Args:
            path: The folder.
            embeddings: Template embeddings of the object, one per network.
            force: Whether files that are not ours may lie beside it.

        Raises:
            OutputError: The folder is something else, or cannot be written.
        """
        path = Path(path)
        stream = io.BytesIO()
        np.savez(stream, **self._arrays())  # type: ignore[arg-type]  # keywords are the array names
        data = stream.getvalue()
        description = Description(
            format="storm-edge object",
            schema_version=SCHEMA,
            object_id=self.object_id,
            description=self.description,
            diameter_m=self.diameter_m,
            face_count=len(self.mesh.faces),
            face_count_lod=len(self.mesh_lod.faces),
            symmetry_count=len(self.symmetries),
            rotation_count=len(self.rotation_grid),
            source=Source(**vars(self.source)),
            arrays_sha256=sha256(data),
            embeddings=[
                EmbeddingFile(
                    bundle=item.bundle,
                    network=item.network,
                    file=embedding_file(item.network),
                    sha256=sha256(item.data),
                )
                for item in embeddings
            ],
            storm_edge=__version__,
        )
        with atomic_folder(path, OBJECT, force=force) as folder:
            try:
                (folder / ARRAYS).write_bytes(data)
                if embeddings:
                    (folder / EMBEDDINGS).mkdir()
                for item in embeddings:
                    (folder / embedding_file(item.network)).write_bytes(item.data)
                (folder / DESCRIPTION).write_text(
                    description.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8"
                )
            except OSError as error:
                got = error.strerror or error
                raise OutputError(
                    mismatch(path, got, "a folder that can be written", "choose another one")
                ) from error

    @staticmethod
    def load(path: Path | str) -> ObjectBundle:
        """Read a bundle folder.

        Raises:
            ObjectBundleError: It is missing, of another schema, edited or incomplete.
        """
        path = Path(path)
        description = described(path)
        data = checked_file(path, ARRAYS, description.arrays_sha256)
        try:
            return _from_arrays(description, parse_arrays(data))
        except (KeyError, ValueError) as error:
            raise ObjectBundleError(
                mismatch(path / ARRAYS, error, f"the arrays of schema {SCHEMA}", ONBOARD_AGAIN)
            ) from error

    def _arrays(self) -> dict[str, NDArray[Any]]:
        near = {} if self.stored_near_symmetries is None else self.stored_near_symmetries.arrays()
        upstream = {} if self.upstream is None else self.upstream.arrays()
        return {
            "T_obj_centre": self.T_obj_centre,
            "symmetries": self.symmetries,
            "rotation_grid": self.rotation_grid,
            **_mesh_arrays("mesh", self.mesh),
            **_mesh_arrays("mesh_lod", self.mesh_lod),
            **{f"viewpoints.{name}": array for name, array in self.viewpoints.arrays().items()},
            **{f"{_NEAR}.{name}": array for name, array in near.items()},
            **{f"{_UPSTREAM}.{name}": array for name, array in upstream.items()},
        }


def number_in(object_id: str) -> int | None:
    """The number of an object named as BOP names models, ``obj_000005`` or ``5``, else None; instances share one."""
    match = re.fullmatch(r"(?:obj_)?0*(\d+)(?:#\d+)?", object_id)
    return int(match.group(1)) if match else None


def is_bundle(path: Path | str) -> bool:
    """Whether ``path`` is a folder that claims to be an object bundle."""
    return (Path(path) / DESCRIPTION).is_file()


def _mesh_arrays(prefix: str, mesh: Mesh) -> dict[str, NDArray[Any]]:
    fields = {name: getattr(mesh, name) for name in _MESH_FIELDS}
    return {f"{prefix}.{name}": array for name, array in fields.items() if array is not None}


def _under(prefix: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """The arrays named ``prefix.*``, without the prefix."""
    return {name.removeprefix(f"{prefix}."): array for name, array in arrays.items() if name.startswith(f"{prefix}.")}


def _mesh(prefix: str, arrays: Arrays) -> Mesh:
    found = _under(prefix, arrays)
    return Mesh(
        vertices=found["vertices"],
        faces=found["faces"],
        normals=found["normals"],
        colours=found["colours"],
        uv=found.get("uv"),
        texture=found.get("texture"),
    )


def _from_arrays(description: Description, arrays: Arrays) -> ObjectBundle:
    near, upstream = _under(_NEAR, arrays), _under(_UPSTREAM, arrays)
    return ObjectBundle(
        object_id=description.object_id,
        description=description.description,
        mesh=_mesh("mesh", arrays),
        mesh_lod=_mesh("mesh_lod", arrays),
        diameter_m=description.diameter_m,
        T_obj_centre=arrays["T_obj_centre"],
        symmetries=arrays["symmetries"],
        rotation_grid=arrays["rotation_grid"],
        viewpoints=SparseViewpoints.from_arrays(_under("viewpoints", arrays), what=ARRAYS),
        source=ModelSource(**description.source.model_dump()),
        stored_near_symmetries=NearSymmetries.from_arrays(near, what=ARRAYS) if near else None,
        upstream=UpstreamModel.from_arrays(upstream) if upstream else None,
    )
