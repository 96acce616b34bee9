"""Files of an object bundle's folder: `object.json`, and reading what it names, refused where it was edited.

`bundle` makes an `ObjectBundle` of them. Template embeddings are bytes here; `pipeline.segment.template_cache` knows
what is in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from storm_edge.errors import ObjectBundleError, mismatch
from storm_edge.files import sha256
from storm_edge.result_kind import ResultKind

SCHEMA: Literal[1] = 1
DESCRIPTION = "object.json"
"""What the object is, for people and for checks; with the fingerprints of all other files."""
ARRAYS = "arrays.npz"
"""All arrays."""
EMBEDDINGS = "embeddings"
"""Folder of the template embeddings."""
_OLD_EMBEDDINGS = "looks"
_FORMAT: Literal["storm-edge object"] = "storm-edge object"
ONBOARD_AGAIN = "run `storm-edge onboard` on the model again"


@dataclass(frozen=True, kw_only=True)
class StoredEmbedding:
    """The template embedding of an object by one network, as bytes."""

    bundle: str
    """Name of the network bundle, for messages."""
    network: str
    """Fingerprint of the network that made it, hexadecimal."""
    data: bytes
    """Whatever `pipeline.segment.template_cache` packs."""


class Source(BaseModel):
    """The model file an object was made from."""

    model_config = ConfigDict(extra="forbid")
    name: str
    sha256: str
    unit: Literal["mm", "m"]


class EmbeddingFile(BaseModel):
    """One file of `embeddings/`."""

    model_config = ConfigDict(extra="forbid")
    bundle: str
    network: str = Field(pattern="^[0-9a-f]{64}$")
    file: str
    sha256: str


class Description(BaseModel):
    """`object.json`. The counts are there for the reader; the arrays are the truth."""

    model_config = ConfigDict(extra="forbid")
    format: Literal["storm-edge object"]
    schema_version: Literal[1]
    object_id: str
    description: str | None = None
    """The object in words; left out where there are none."""
    diameter_m: float
    face_count: int
    face_count_lod: int
    symmetry_count: int
    rotation_count: int
    source: Source
    arrays_sha256: str
    embeddings: list[EmbeddingFile] = Field([], validation_alias=AliasChoices("embeddings", "looks"))
    """Template embeddings; bundles made before 0.2 call them ``looks``."""
    storm_edge: str


def _embedded(folder: Path, content: Mapping[str, Any]) -> Iterator[str]:
    """Files of template embeddings that an `object.json` names."""
    for key in (EMBEDDINGS, _OLD_EMBEDDINGS):
        entries = content.get(key)
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and isinstance(file := entry.get("file"), str):
                yield file


def _says_format(folder: Path, content: Mapping[str, Any]) -> bool:
    return bool(content["format"] == _FORMAT)


OBJECT = ResultKind(
    command="storm-edge onboard",
    marker=DESCRIPTION,
    keys=frozenset({"format", "schema_version", "object_id", "arrays_sha256", "storm_edge"}),
    names=frozenset({ARRAYS}),
    folders=frozenset({EMBEDDINGS, _OLD_EMBEDDINGS}),
    listed=_embedded,
    is_older=_says_format,  # the format has always said who made it, so no further key does
)
"""Object bundles, as `onboard` leaves them."""


def embedding_file(network: str) -> str:
    """Where a bundle folder holds the embedding of a network."""
    return f"{EMBEDDINGS}/{network[:16]}.npz"


def described(path: Path) -> Description:
    """`object.json` of a bundle folder."""
    if not path.is_dir():
        raise ObjectBundleError(
            mismatch(path, "no such folder", "an object bundle", "make it with storm-edge onboard")
        )
    try:
        return Description.model_validate_json((path / DESCRIPTION).read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(key) for key in first["loc"]) or "JSON"
        got = f"{where}: {first['msg']}"
        raise ObjectBundleError(
            mismatch(path / DESCRIPTION, got, f"an object of schema {SCHEMA}", ONBOARD_AGAIN)
        ) from error
    except OSError as error:
        raise _missing(path, DESCRIPTION, error) from error


def checked_file(path: Path, file: str, fingerprint: str) -> bytes:
    """A file of a bundle folder, if it is what `object.json` says."""
    allowed = {path.resolve(), *(path.resolve() / name for name in (EMBEDDINGS, _OLD_EMBEDDINGS))}
    if (path / file).resolve().parent not in allowed:
        raise ObjectBundleError(mismatch(path / DESCRIPTION, f"file {file}", "a file of the bundle", ONBOARD_AGAIN))
    try:
        data = (path / file).read_bytes()
    except OSError as error:
        raise _missing(path, file, error) from error
    if sha256(data) != fingerprint:
        expected = f"sha256 {fingerprint[:12]}... as {DESCRIPTION} says"
        raise ObjectBundleError(mismatch(path / file, f"sha256 {sha256(data)[:12]}...", expected, ONBOARD_AGAIN))
    return data


def _missing(path: Path, file: str, error: OSError) -> ObjectBundleError:
    got = f"{Path(file).name}: {error.strerror}"
    return ObjectBundleError(mismatch(path, got, f"{DESCRIPTION}, {ARRAYS} and what the first names", ONBOARD_AGAIN))


def stored_embeddings(path: Path | str) -> dict[str, str]:
    """Of which networks a bundle folder holds template embeddings: bundle name by fingerprint.

    Raises:
        ObjectBundleError: As `ObjectBundle.load`.
    """
    return {item.network: item.bundle for item in described(Path(path)).embeddings}


def read_stored_embedding(path: Path | str, network: str) -> StoredEmbedding | None:
    """What a network keeps of the object of a bundle folder; None if that holds nothing of this network.

    Args:
        path: The folder.
        network: Fingerprint of the network.

    Raises:
        ObjectBundleError: The folder is no bundle, or the embedding is missing or edited.
    """
    path = Path(path)
    for item in described(path).embeddings:
        if item.network == network:
            return StoredEmbedding(
                bundle=item.bundle, network=network, data=checked_file(path, item.file, item.sha256)
            )
    return None
