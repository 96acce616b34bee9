"""``manifest.json`` of a bundle: its contents, reading and writing it, and what its networks must take and give.

A bundle is a folder with a manifest and one ONNX file per network:

    manifest.json
    refine.onnx            rendered, observed -> trans, rot
    score_features.onnx    rendered, observed -> features
    score_attention.onnx   features -> score
    som_reference.onnx     views -> keys, values
    som_query.onnx         image -> half, quarter, eighth
    som_head.onnx          half, quarter, eighth, objects, keys, values -> mask, present
    tom_encode.onnx        crop -> current, memory
    tom_compare.onnx       current, memory -> logit
    sam2_encoder.onnx      image -> image_embed, high_res_0, high_res_1
    sam2_decoder.onnx      image_embed, high_res_0, high_res_1, prompts -> masks, iou, present

It need not have them all. The manifest's ``tier`` says whose segmenter and verifier they are, our own (``nano``, as
above) or STORM's (``full``):

    som_reference.onnx     views -> k0, v0, k1, v1, k2, v2
    som_query.onnx         image -> tokens
    som_head.onnx          tokens, k0, v0, k1, v1, k2, v2 (, context) -> logits
    similarity.onnx        crop -> embedding

Instead of the two score files there may be one, ``score`` (rendered, observed -> score). The manifest says what the
files' tensors are called and how their images are laid out, so that the files NVIDIA publishes are used as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from storm_edge.engines.contract import EngineSpec
from storm_edge.errors import EngineError, mismatch
from storm_edge.files import sha256
from storm_edge.strict_model import StrictModel

MANIFEST = "manifest.json"
Tier = Literal["nano", "full"]
Layout = Literal["nchw", "nhwc"]
Sizes = tuple[int | str | None, ...]
"""Of a tensor: None varies, "size" is the bundle's crop size, "any" the network's own choice."""
Tensors = dict[str, Sizes]
PACKAGED = Path(__file__).resolve().parent.parent / "bundles"
"""Folder of the bundles that come with the package."""

_IMAGE: Sizes = (None, 6, "size", "size")
_PAIR = {"rendered": _IMAGE, "observed": _IMAGE}
_CACHE: Sizes = (None, "any", "any", "any")
_FIXED: Sizes = (1, "any", "any", "any")
_VECTORS: Tensors = {"current": (None, "any"), "memory": (None, "any")}
_MAPS: Tensors = {
    "half": (None, "any", 60, 80),
    "quarter": (None, "any", 30, 40),
    "eighth": (None, "any", 15, 20),
}
_SAM2: Tensors = dict.fromkeys(("image_embed", "high_res_0", "high_res_1"), _FIXED)
_VIEWS: Tensors = {f"{kind}{block}": _FIXED for block in range(3) for kind in "kv"}
_TOKENS: Tensors = {"tokens": (1, 256, "any")}
_PHOTO: Sizes = (None, 3, 224, 224)

_COMMON: dict[str, tuple[Tensors, Tensors]] = {
    "refine": (_PAIR, {"trans": (None, 3), "rot": (None, 3)}),
    "score": (_PAIR, {"score": (None,)}),
    "score_features": (_PAIR, {"features": (None, "any")}),
    "score_attention": ({"features": (None, "any")}, {"score": (None,)}),
    "tom_compare": (_VECTORS, {"logit": (None,)}),
    "sam2_encoder": ({"image": (1, 3, "any", "any")}, _SAM2),
    "sam2_decoder": (
        {**_SAM2, "prompts": (1, 3, 2)},
        {"masks": (1, 4, "any", "any"), "iou": (1, 4), "present": (1, 1)},
    ),
}
CONTRACT: dict[Tier, dict[str, tuple[Tensors, Tensors]]] = {
    "nano": {
        **_COMMON,
        "som_reference": ({"views": (None, 16, 8, 32, 32)}, dict.fromkeys(("keys", "values"), _CACHE)),
        "som_query": ({"image": (None, 8, 120, 160)}, _MAPS),
        "som_head": (
            {**_MAPS, "objects": (None, 5, 60, 80), **dict.fromkeys(("keys", "values"), _CACHE)},
            {"mask": (None, 60, 80), "present": (None,)},
        ),
        "tom_encode": ({"crop": _IMAGE}, _VECTORS),
    },
    "full": {
        **_COMMON,
        "som_reference": ({"views": (16, 3, 224, 224)}, _VIEWS),
        "som_query": ({"image": (1, 3, 224, 224)}, _TOKENS),
        "som_head": ({**_TOKENS, **_VIEWS}, {"logits": (1, 1, 64, 64)}),
        "tom_encode": ({"crop": _PHOTO}, _VECTORS),
        "similarity": ({"crop": _PHOTO}, {"embedding": (None, "any")}),
    },
}
"""What a tier's networks must take and give."""
OPTIONAL: dict[tuple[Tier, str], Tensors] = {("full", "som_head"): {"context": (1, "any")}}
"""Inputs that a network may take besides."""


class NetworkEntry(StrictModel):
    """One network of a manifest."""

    file: str
    """Its ONNX file, in the bundle's folder."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Of the file."""
    layout: Layout = "nchw"
    """Of its images."""
    tensors: dict[str, str] = Field(default_factory=dict)
    """What the file calls a tensor, by our name, where it does so otherwise."""


class Manifest(StrictModel):
    """``manifest.json``."""

    format: Literal[1]
    name: str
    tier: Tier = "nano"
    size_px: int = Field(ge=16, le=1024)
    preset: Literal["default", "parity"]
    networks: dict[str, NetworkEntry]


@dataclass(frozen=True, kw_only=True)
class FileConventions:
    """Where a network's file differs from what we call things and how we lay them out."""

    layout: Layout = "nchw"
    """Of its images."""
    tensors: Mapping[str, str] = field(default_factory=dict)
    """What it calls a tensor, by our name."""


def read_manifest(folder: Path, *, given: object = None) -> Manifest:
    """Read the manifest of a bundle.

    Args:
        folder: The bundle.
        given: What the user called it, for messages; the folder, if not given.

    Raises:
        EngineError: There is none, it does not parse, has unknown keys, or a network that is none of its tier's.
    """
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        packaged = sorted(p.parent.name for p in PACKAGED.glob(f"*/{MANIFEST}"))
        expected = f"a bundle folder with {MANIFEST}, or one of {packaged}"
        raise EngineError(mismatch(given or folder, error.strerror, expected, "check --bundle")) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"]) or "the file"
        raise EngineError(
            mismatch(path, f"{where}: {first['msg']}", "a bundle manifest", "correct that entry")
        ) from error
    for network in manifest.networks:
        if network not in CONTRACT[manifest.tier]:
            expected = f"of {sorted(CONTRACT[manifest.tier])}"
            raise EngineError(
                mismatch(f"{path}: tier {manifest.tier}", network, expected, "correct the name or the tier")
            )
    return manifest


def write_manifest(
    folder: Path,
    *,
    name: str,
    size_px: int,
    preset: str,
    networks: Mapping[str, str],
    tier: Tier = "nano",
    conventions: Mapping[str, FileConventions] | None = None,
) -> None:
    """Write ``manifest.json`` for ONNX files that lie in ``folder``.

    Args:
        folder: The bundle.
        name: Of the bundle.
        size_px: Side of the crops [px].
        preset: Input preset of the networks, ``default`` or ``parity``.
        networks: File name by network.
        tier: Whose segmenter and verifier they are.
        conventions: By network, where its file differs from ours.

    Raises:
        EngineError: A file cannot be read.
    """
    differing = conventions or {}
    entries = {
        network: _entry(folder, file, differing.get(network, FileConventions())) for network, file in networks.items()
    }
    content = {
        "format": 1, "name": name, "tier": tier, "size_px": size_px, "preset": preset, "networks": entries
    }  # fmt: skip
    _write(folder, content)


def check_contract(spec: EngineSpec, *, file: str, size_px: int, tier: Tier) -> None:
    """Refuse a network that does not take and give what its tier asks for.

    Args:
        spec: Of the network.
        file: Its file, for messages.
        size_px: Side of the bundle's crops [px].
        tier: Of the bundle.

    Raises:
        EngineError: It is one.
    """
    inputs, outputs = CONTRACT[tier][spec.name]
    given = {tensor.name for tensor in spec.inputs}
    optional = OPTIONAL.get((tier, spec.name), {})
    inputs = inputs | {name: shape for name, shape in optional.items() if name in given}
    for kind, wanted, tensors in (("inputs", inputs, spec.inputs), ("outputs", outputs, spec.outputs)):
        found = {t.name: t.shape for t in tensors}
        expected = {name: tuple(size_px if n == "size" else n for n in shape) for name, shape in wanted.items()}
        fits = found.keys() == expected.keys() and all(
            len(found[name]) == len(shape) and all(w in ("any", g) for g, w in zip(found[name], shape, strict=True))
            for name, shape in expected.items()
        )
        if not fits:
            remedy = "name the tensors in the manifest, or export the network with a batch that varies"
            raise EngineError(mismatch(f"{file}: {kind}", found, expected, remedy))


def file_sha256(path: Path) -> str:
    """Hash of a network's file, lower-case hex.

    Raises:
        EngineError: It cannot be read.
    """
    try:
        return sha256(path.read_bytes())
    except OSError as error:
        raise EngineError(mismatch(path, error.strerror, "an ONNX file", "check the bundle folder")) from error


def _entry(folder: Path, file: str, conventions: FileConventions) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "file": file, "sha256": file_sha256(folder / file), "layout": conventions.layout
    }  # fmt: skip
    if conventions.tensors:
        entry["tensors"] = dict(conventions.tensors)
    return entry


def _write(folder: Path, content: dict[str, Any]) -> None:
    Manifest.model_validate(content)
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
