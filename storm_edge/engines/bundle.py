"""Network bundles: a folder with a manifest and one ONNX file per network.

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

A bundle need not have them all: what lacks is missed when it is opened. The manifest's ``tier`` says whose segmenter
and verifier they are, our own (``nano``, as above) or STORM's (``full``):

    som_reference.onnx     views -> k0, v0, k1, v1, k2, v2
    som_query.onnx         image -> tokens
    som_head.onnx          tokens, k0, v0, k1, v1, k2, v2 (, context) -> logits
    similarity.onnx        crop -> embedding

Instead of the two score files there may be one, ``score`` (rendered, observed -> score). The manifest says what the
files' tensors are called and how their images are laid out, so that the files NVIDIA publishes are used as they are.
Above this room only `pipeline.segment.maps` and the choice of a verifier know which tier of networks they run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from storm_edge.engines.backend import ENGINES, Backend
from storm_edge.engines.backends.channels_last import ChannelsLastEngine
from storm_edge.engines.backends.onnxruntime import OnnxRuntimeEngine, file_sha256
from storm_edge.engines.contract import Engine, EngineOptions
from storm_edge.engines.exported import graph_of
from storm_edge.errors import EngineError, mismatch
from storm_edge.strict_model import StrictModel

Tier = Literal["nano", "full"]
Tensors = dict[str, tuple[int | str | None, ...]]

MANIFEST = "manifest.json"
_PACKAGED = Path(__file__).resolve().parent.parent / "bundles"

_IMAGE: tuple[int | str | None, ...] = (None, 6, "size", "size")
_PAIR = {"rendered": _IMAGE, "observed": _IMAGE}
_CACHE: tuple[int | str | None, ...] = (None, "any", "any", "any")
_FIXED: tuple[int | str | None, ...] = (1, "any", "any", "any")
_VECTORS: Tensors = {"current": (None, "any"), "memory": (None, "any")}
_MAPS: Tensors = {
    "half": (None, "any", 60, 80),
    "quarter": (None, "any", 30, 40),
    "eighth": (None, "any", 15, 20),
}
_SAM2: Tensors = dict.fromkeys(("image_embed", "high_res_0", "high_res_1"), _FIXED)
_VIEWS: Tensors = {f"{kind}{block}": _FIXED for block in range(3) for kind in "kv"}
_TOKENS: Tensors = {"tokens": (1, 256, "any")}
_PHOTO: tuple[int | str | None, ...] = (None, 3, 224, 224)

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
"""What a tier's networks must take and give; "size" is the bundle's crop size, "any" the network's own choice."""
OPTIONAL: dict[tuple[Tier, str], Tensors] = {("full", "som_head"): {"context": (1, "any")}}
"""Inputs that a network may take besides."""


class _NetworkEntry(StrictModel):
    """One network of a manifest."""

    file: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    layout: Literal["nchw", "nhwc"] = "nchw"
    tensors: dict[str, str] = Field(default_factory=dict)


class _Manifest(StrictModel):
    """``manifest.json``."""

    format: Literal[1]
    name: str
    tier: Tier = "nano"
    size_px: int = Field(ge=16, le=1024)
    preset: Literal["default", "parity"]
    networks: dict[
        Literal[
            "refine",
            "score",
            "score_features",
            "score_attention",
            "som_reference",
            "som_query",
            "som_head",
            "tom_encode",
            "tom_compare",
            "similarity",
            "sam2_encoder",
            "sam2_decoder",
        ],
        _NetworkEntry,
    ]


@dataclass(frozen=True, kw_only=True)
class NetworkFile:
    """One network of a bundle, its file checked."""

    path: Path
    """The ONNX file."""
    sha256: str
    """Its hash, lower-case hex."""
    channels_last: bool
    """Whether its images are ``(N, H, W, C)``."""
    names: Mapping[str, str]
    """Our name by the file's name, for tensors that are called otherwise there."""


@dataclass(frozen=True, kw_only=True)
class NetworkBundle:
    """The networks of one tier, and how their inputs are made."""

    name: str
    """Name in the manifest, for reports."""
    folder: Path
    """Where it lies."""
    size_px: int
    """Side of the crops [px]."""
    preset: str
    """Which input preset the networks were trained with: ``default`` or ``parity``."""
    networks: Mapping[str, NetworkFile]
    """Files by network."""
    tier: Tier = "nano"
    """Whose segmenter and verifier they are, see the module."""
    backend: Backend = Backend.ONNXRUNTIME
    """What runs them."""
    engine_folder: Path = ENGINES
    """Where `storm-edge build` keeps engines, for backends that run those."""

    @classmethod
    def load(
        cls, which: str | Path, *, backend: Backend = Backend.ONNXRUNTIME, engine_folder: Path = ENGINES
    ) -> NetworkBundle:
        """Read a bundle and check its files against the manifest.

        Args:
            which: Name of a bundle in the package (``nano``), or a folder; a folder of an exported bundle for one of
                its precisions.
            backend: What runs its networks.
            engine_folder: Folder of all built engines.

        Raises:
            EngineError: No such bundle, a manifest that does not parse or has unknown keys, a file that is missing or
                has another hash.
        """
        folder = Path(which)
        if not folder.is_dir() and (_PACKAGED / str(which) / MANIFEST).is_file():
            folder = _PACKAGED / str(which)
        manifest = _read_manifest(folder, which)
        networks: dict[str, NetworkFile] = {}
        for network, entry in manifest.networks.items():
            if network not in CONTRACT[manifest.tier]:
                known = sorted(CONTRACT[manifest.tier])
                what = f"{folder / MANIFEST}: tier {manifest.tier}"
                raise EngineError(mismatch(what, network, f"of {known}", "correct the tier"))
            networks[network] = _checked_file(folder, network, entry)
        return cls(
            name=manifest.name,
            folder=folder,
            size_px=manifest.size_px,
            preset=manifest.preset,
            tier=manifest.tier,
            networks=networks,
            backend=backend,
            engine_folder=engine_folder,
        )

    def fields(self) -> dict[str, Any]:
        """What a bundle that wraps this one takes over, whatever this one holds besides."""
        return {field.name: getattr(self, field.name) for field in fields(NetworkBundle)}

    def require(self, networks: Iterable[str], *, what: str, remedy: str) -> None:
        """Refuse a bundle that lacks some of ``networks``.

        Raises:
            EngineError: Says that it has no ``what``, and the ``remedy``.
        """
        wanted = list(networks)
        if not set(wanted) <= self.networks.keys():
            raise EngineError(mismatch(f"bundle {self.name}", f"no {what}", " and ".join(wanted), remedy))

    def open(self, network: str, options: EngineOptions | None = None) -> Engine:
        """Load one network, with its tensors under our names and its images channels first.

        Args:
            network: Its name in the manifest.
            options: Device and threads.

        Raises:
            EngineError: The bundle has no such network, its tensors break the contract, or no engine was built of it
                as it is now, for the TensorRT and the GPU that are here.
            BackendError: The backend or the device is not available.
        """
        if network not in self.networks:
            remedy = "use a bundle that has it, or export it"
            raise EngineError(mismatch(f"bundle {self.name}", f"networks {sorted(self.networks)}", network, remedy))
        file = self.networks[network]
        engine = self._engine(network, file, options or EngineOptions())
        if file.channels_last:
            engine = ChannelsLastEngine(engine)
        _check_contract(engine, file.path, self.size_px, self.tier)
        return engine

    def _engine(self, network: str, file: NetworkFile, options: EngineOptions) -> Engine:
        if self.backend.runs_engines:
            from storm_edge.engines.backends.tensorrt import open_engine
            from storm_edge.engines.cache import EngineStore

            folder, graph = graph_of(file.path, file.sha256)
            store = EngineStore(self.engine_folder, _read_manifest(folder, folder).name)
            return open_engine(store, graph, flavour=self.backend.value, device=options.device, names=file.names)
        if self.backend is Backend.TORCH:
            from storm_edge.engines.backends.torch import TorchEngine

            return TorchEngine(file.path, name=network, device=options.device, names=file.names)
        return OnnxRuntimeEngine(file.path, name=network, options=options, names=file.names)


def write_manifest(
    folder: Path,
    *,
    name: str,
    size_px: int,
    preset: str,
    networks: Mapping[str, str],
    layout: str = "nchw",
    tier: Tier = "nano",
    layouts: Mapping[str, str] | None = None,
    tensors: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Write ``manifest.json`` for ONNX files that lie in ``folder``.

    Args:
        folder: The bundle.
        name: Of the bundle.
        size_px: Side of the crops [px].
        preset: Input preset of the networks.
        networks: File name by network.
        layout: Of the images, ``nchw`` or ``nhwc``.
        tier: Whose segmenter and verifier they are.
        layouts: By network, where they differ.
        tensors: By network, what its file calls a tensor by our name.
    """
    entries: dict[str, dict[str, object]] = {
        network: {
            "file": file,
            "sha256": file_sha256(folder / file),
            "layout": (layouts or {}).get(network, layout),
        }
        for network, file in networks.items()
    }
    for network, names in (tensors or {}).items():
        if names and network in entries:
            entries[network]["tensors"] = dict(names)
    content = {
        "format": 1, "name": name, "tier": tier, "size_px": size_px, "preset": preset, "networks": entries
    }  # fmt: skip
    _Manifest.model_validate(content)
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def add_to_manifest(
    folder: Path, networks: Mapping[str, str], *, name: str, size_px: int, tier: Tier = "nano"
) -> None:
    """Add or replace networks of a bundle, or begin one.

    Args:
        folder: The bundle.
        networks: File name by network.
        name: Of a bundle that is begun.
        size_px: Side of the crops [px] of a bundle that is begun.
        tier: Whose segmenter and verifier they are. The tier of a bundle changes only while it has neither.

    Raises:
        EngineError: There is a manifest and it does not parse, or it is of the other tier.
    """
    path = folder / MANIFEST
    if not path.is_file():
        write_manifest(folder, name=name, size_px=size_px, preset="default", networks=networks, tier=tier)
        return
    try:
        content = _Manifest.model_validate_json(path.read_bytes()).model_dump()
    except ValidationError as error:
        first = error.errors()[0]["msg"]
        raise EngineError(
            mismatch(path, first, "a bundle manifest", "correct it, or choose another folder")
        ) from error
    of_a_tier = [n for n in content["networks"] if n.startswith(("som_", "tom_")) or n == "similarity"]
    if content["tier"] != tier and of_a_tier:
        got = f"tier {content['tier']} ({', '.join(of_a_tier)})"
        raise EngineError(mismatch(path, got, f"tier {tier}", "put the networks into a bundle of their own"))
    content["tier"] = tier
    for network, file in networks.items():
        content["networks"][network] = {"file": file, "sha256": file_sha256(folder / file), "layout": "nchw"}
    _Manifest.model_validate(content)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _read_manifest(folder: Path, which: str | Path) -> _Manifest:
    path = folder / MANIFEST
    try:
        return _Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        packaged = sorted(p.parent.name for p in _PACKAGED.glob(f"*/{MANIFEST}"))
        expected = f"a bundle folder with {MANIFEST}, or one of {packaged}"
        raise EngineError(mismatch(which, error.strerror, expected, "check --bundle")) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"]) or "the file"
        raise EngineError(
            mismatch(path, f"{where}: {first['msg']}", "a bundle manifest", "correct that entry")
        ) from error


def _checked_file(folder: Path, network: str, entry: _NetworkEntry) -> NetworkFile:
    path = folder / entry.file
    if path.resolve().parent != folder.resolve():
        raise EngineError(
            mismatch(f"{folder / MANIFEST}: {network}", entry.file, "a file in the bundle", "move it there")
        )
    sha256 = file_sha256(path)
    if sha256 != entry.sha256:
        remedy = "copy the bundle again, or write its manifest anew if the change was meant"
        raise EngineError(mismatch(path, f"sha256 {sha256[:12]}...", f"{entry.sha256[:12]}...", remedy))
    names = {theirs: ours for ours, theirs in entry.tensors.items()}
    return NetworkFile(path=path, sha256=sha256, channels_last=entry.layout == "nhwc", names=names)


def _check_contract(engine: Engine, path: Path, size_px: int, tier: Tier) -> None:
    inputs, outputs = CONTRACT[tier][engine.spec.name]
    optional = OPTIONAL.get((tier, engine.spec.name), {})
    inputs = inputs | {
        name: shape for name, shape in optional.items() if name in {t.name for t in engine.spec.inputs}
    }
    for kind, wanted, tensors in (
        ("inputs", inputs, engine.spec.inputs),
        ("outputs", outputs, engine.spec.outputs),
    ):
        found = {t.name: t.shape for t in tensors}
        expected = {name: tuple(size_px if n == "size" else n for n in shape) for name, shape in wanted.items()}
        fits = found.keys() == expected.keys() and all(
            len(found[name]) == len(shape) and all(w in ("any", g) for g, w in zip(found[name], shape, strict=True))
            for name, shape in expected.items()
        )
        if not fits:
            remedy = "name the tensors in the manifest, or export the network with a batch that varies"
            raise EngineError(mismatch(f"{path.name}: {kind}", found, expected, remedy))
