"""The object bundle: everything perception needs to know about one object, and its folder on disk.

The folder holds `object.json` (what it is, for people and for checks) and `arrays.npz` (all arrays, uncompressed, so
that loading is one read), and in `looks/` what networks keep of the object, which this room does not look into. The
JSON carries the fingerprints of all files: a bundle that was edited or cut short is refused. Bundles are made by
`onboard`.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storm_edge import __version__
from storm_edge.errors import ObjectBundleError, OutputError, mismatch
from storm_edge.files import atomic_folder, sha256
from storm_edge.geometry.mesh import Mesh
from storm_edge.objects.viewpoints import SparseViewpoints

Float64 = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]

SCHEMA: Literal[1] = 1
DESCRIPTION = "object.json"
ARRAYS = "arrays.npz"
LOOKS = "looks"
_AGAIN = "run `storm-edge onboard` on the model again"
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
class StoredEmbedding:
    """What a network keeps of an object, as bytes."""

    bundle: str
    """Name of the network bundle, for messages."""
    network: str
    """Fingerprint of the network that made it, hexadecimal."""
    data: bytes
    """Whatever `pipeline.segment.template_cache` packs."""


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

    @property
    def bop_id(self) -> int | None:
        """The number in a name such as ``obj_000005``, else None."""
        return number_in(self.object_id)

    def save(self, path: Path | str, *, looks: Sequence[StoredEmbedding] = ()) -> None:
        """Write the bundle folder; an older bundle of that name is replaced, anything else is not touched.

        Args:
            path: The folder.
            looks: What networks keep of the object, one per network.

        Raises:
            OutputError: The folder is something else, or cannot be written.
        """
        path = Path(path)
        stream = io.BytesIO()
        np.savez(stream, **self._arrays())  # type: ignore[arg-type]  # keywords are the array names
        data = stream.getvalue()
        description = _Description(
            format="storm-edge object",
            schema_version=SCHEMA,
            object_id=self.object_id,
            diameter_m=self.diameter_m,
            face_count=len(self.mesh.faces),
            face_count_lod=len(self.mesh_lod.faces),
            symmetry_count=len(self.symmetries),
            rotation_count=len(self.rotation_grid),
            source=_Source(**vars(self.source)),
            arrays_sha256=sha256(data),
            looks=[
                _Look(
                    bundle=look.bundle, network=look.network, file=_look_file(look.network), sha256=sha256(look.data)
                )
                for look in looks
            ],
            storm_edge=__version__,
        )
        with atomic_folder(path, marker=DESCRIPTION) as folder:
            try:
                (folder / ARRAYS).write_bytes(data)
                if looks:
                    (folder / LOOKS).mkdir()
                for look in looks:
                    (folder / _look_file(look.network)).write_bytes(look.data)
                (folder / DESCRIPTION).write_text(description.model_dump_json(indent=2) + "\n", encoding="utf-8")
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
        description = _described(path)
        data = _checked(path, ARRAYS, description.arrays_sha256)
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            return _from_arrays(description, arrays)
        except (KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ObjectBundleError(
                mismatch(path / ARRAYS, error, f"the arrays of schema {SCHEMA}", _AGAIN)
            ) from error

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "T_obj_centre": self.T_obj_centre,
            "symmetries": self.symmetries,
            "rotation_grid": self.rotation_grid,
            **_mesh_arrays("mesh", self.mesh),
            **_mesh_arrays("mesh_lod", self.mesh_lod),
            **{f"viewpoints.{name}": array for name, array in self.viewpoints.arrays().items()},
        }


def number_in(object_id: str) -> int | None:
    """The number of an object named as BOP names models, ``obj_000005`` or ``5``, else None."""
    match = re.fullmatch(r"(?:obj_)?0*(\d+)", object_id)
    return int(match.group(1)) if match else None


def stored_embeddings(path: Path | str) -> dict[str, str]:
    """Of which networks a bundle folder holds looks: bundle name by fingerprint.

    Raises:
        ObjectBundleError: As `ObjectBundle.load`.
    """
    return {look.network: look.bundle for look in _described(Path(path)).looks}


def read_stored_embedding(path: Path | str, network: str) -> StoredEmbedding | None:
    """What a network keeps of the object of a bundle folder; None if that holds nothing of this network.

    Args:
        path: The folder.
        network: Fingerprint of the network.

    Raises:
        ObjectBundleError: The folder is no bundle, or the look is missing or edited.
    """
    path = Path(path)
    for look in _described(path).looks:
        if look.network == network:
            return StoredEmbedding(bundle=look.bundle, network=network, data=_checked(path, look.file, look.sha256))
    return None


def is_bundle(path: Path | str) -> bool:
    """Whether ``path`` is a folder that claims to be an object bundle."""
    return (Path(path) / DESCRIPTION).is_file()


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    sha256: str
    unit: Literal["mm", "m"]


class _Look(BaseModel):
    """One file of `looks/`."""

    model_config = ConfigDict(extra="forbid")
    bundle: str
    network: str = Field(pattern="^[0-9a-f]{64}$")
    file: str
    sha256: str


class _Description(BaseModel):
    """`object.json`. The counts are there for the reader; the arrays are the truth."""

    model_config = ConfigDict(extra="forbid")
    format: Literal["storm-edge object"]
    schema_version: Literal[1]
    object_id: str
    diameter_m: float
    face_count: int
    face_count_lod: int
    symmetry_count: int
    rotation_count: int
    source: _Source
    arrays_sha256: str
    looks: list[_Look] = []
    storm_edge: str


def _look_file(network: str) -> str:
    return f"{LOOKS}/{network[:16]}.npz"


def _described(path: Path) -> _Description:
    """`object.json` of a bundle folder."""
    if not path.is_dir():
        raise ObjectBundleError(
            mismatch(path, "no such folder", "an object bundle", "make it with storm-edge onboard")
        )
    try:
        return _Description.model_validate_json((path / DESCRIPTION).read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(key) for key in first["loc"]) or "JSON"
        got = f"{where}: {first['msg']}"
        raise ObjectBundleError(mismatch(path / DESCRIPTION, got, f"an object of schema {SCHEMA}", _AGAIN)) from error
    except OSError as error:
        raise _missing(path, DESCRIPTION, error) from error


def _checked(path: Path, file: str, fingerprint: str) -> bytes:
    """A file of a bundle folder, if it is what `object.json` says."""
    if (path / file).resolve().parent not in (path.resolve(), path.resolve() / LOOKS):
        raise ObjectBundleError(mismatch(path / DESCRIPTION, f"file {file}", "a file of the bundle", _AGAIN))
    try:
        data = (path / file).read_bytes()
    except OSError as error:
        raise _missing(path, file, error) from error
    if sha256(data) != fingerprint:
        expected = f"sha256 {fingerprint[:12]}... as {DESCRIPTION} says"
        raise ObjectBundleError(mismatch(path / file, f"sha256 {sha256(data)[:12]}...", expected, _AGAIN))
    return data


def _missing(path: Path, file: str, error: OSError) -> ObjectBundleError:
    got = f"{Path(file).name}: {error.strerror}"
    return ObjectBundleError(mismatch(path, got, f"{DESCRIPTION}, {ARRAYS} and what the first names", _AGAIN))


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


def _from_arrays(description: _Description, arrays: Arrays) -> ObjectBundle:
    return ObjectBundle(
        object_id=description.object_id,
        mesh=_mesh("mesh", arrays),
        mesh_lod=_mesh("mesh_lod", arrays),
        diameter_m=description.diameter_m,
        T_obj_centre=arrays["T_obj_centre"],
        symmetries=arrays["symmetries"],
        rotation_grid=arrays["rotation_grid"],
        viewpoints=SparseViewpoints.from_arrays(_under("viewpoints", arrays), what=ARRAYS),
        source=ModelSource(**description.source.model_dump()),
    )
