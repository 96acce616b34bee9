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

A bundle need not have them all: what lacks is missed when it is opened.
Instead of the two score files there may be one, ``score`` (rendered, observed -> score). The manifest says what the
files' tensors are called and how their images are laid out, so that the files NVIDIA publishes are used as they are.
Nothing above this room knows which tier of networks it runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storm_edge.engines.layout import ChannelsLastEngine
from storm_edge.engines.onnx_runtime import OnnxRuntimeEngine, OrtOptions, file_sha256
from storm_edge.engines.spec import Engine
from storm_edge.errors import EngineError, bad

MANIFEST = "manifest.json"
_PACKAGED = Path(__file__).resolve().parent.parent / "bundles"

_IMAGE: tuple[int | str | None, ...] = (None, 6, "size", "size")
_PAIR = {"rendered": _IMAGE, "observed": _IMAGE}
_CACHE: tuple[int | str | None, ...] = (None, "any", "any", "any")
_MAPS: dict[str, tuple[int | str | None, ...]] = {
    "half": (None, "any", 60, 80),
    "quarter": (None, "any", 30, 40),
    "eighth": (None, "any", 15, 20),
}
# What each network must take and give; "size" is the bundle's crop size, "any" is the network's own choice.
CONTRACT: dict[str, tuple[dict[str, tuple[int | str | None, ...]], dict[str, tuple[int | str | None, ...]]]] = {
    "refine": (_PAIR, {"trans": (None, 3), "rot": (None, 3)}),
    "score": (_PAIR, {"score": (None,)}),
    "score_features": (_PAIR, {"features": (None, "any")}),
    "score_attention": ({"features": (None, "any")}, {"score": (None,)}),
    "som_reference": ({"views": (None, 16, 8, 32, 32)}, dict.fromkeys(("keys", "values"), _CACHE)),
    "som_query": ({"image": (None, 8, 120, 160)}, _MAPS),
    "som_head": (
        {**_MAPS, "objects": (None, 5, 60, 80), **dict.fromkeys(("keys", "values"), _CACHE)},
        {"mask": (None, 60, 80), "present": (None,)},
    ),
    "tom_encode": ({"crop": _IMAGE}, {"current": (None, "any"), "memory": (None, "any")}),
    "tom_compare": ({"current": (None, "any"), "memory": (None, "any")}, {"logit": (None,)}),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _NetworkEntry(_Strict):
    """One network of a manifest."""

    file: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    layout: Literal["nchw", "nhwc"] = "nchw"
    tensors: dict[str, str] = {}


class _Manifest(_Strict):
    """``manifest.json``."""

    format: Literal[1]
    name: str
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

    @classmethod
    def load(cls, which: str | Path) -> NetworkBundle:
        """Read a bundle and check its files against the manifest.

        Args:
            which: Name of a bundle in the package (``nano``), or a folder.

        Raises:
            EngineError: No such bundle, a manifest that does not parse or has unknown keys, a file that is missing or
                has another hash.
        """
        folder = Path(which)
        if not folder.is_dir() and (_PACKAGED / str(which) / MANIFEST).is_file():
            folder = _PACKAGED / str(which)
        path = folder / MANIFEST
        packaged = sorted(p.parent.name for p in _PACKAGED.glob(f"*/{MANIFEST}"))
        try:
            manifest = _Manifest.model_validate_json(path.read_bytes())
        except OSError as error:
            expected = f"a bundle folder with {MANIFEST}, or one of {packaged}"
            raise EngineError(bad(which, error.strerror, expected, "check --bundle")) from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(p) for p in first["loc"]) or "the file"
            raise EngineError(
                bad(path, f"{where}: {first['msg']}", "a bundle manifest", "correct that entry")
            ) from error
        networks: dict[str, NetworkFile] = {}
        for network, entry in manifest.networks.items():
            networks[network] = _checked_file(folder, network, entry)
        return cls(
            name=manifest.name, folder=folder, size_px=manifest.size_px, preset=manifest.preset, networks=networks
        )

    def open(self, network: str, options: OrtOptions | None = None) -> Engine:
        """Load one network, with its tensors under our names and its images channels first.

        Args:
            network: Its name in the manifest.
            options: Device and threads.

        Raises:
            EngineError: The bundle has no such network, or its tensors break the contract.
            BackendError: The device is not available.
        """
        if network not in self.networks:
            remedy = "use a bundle that has it, or export it"
            raise EngineError(bad(f"bundle {self.name}", f"networks {sorted(self.networks)}", network, remedy))
        file = self.networks[network]
        engine: Engine = OnnxRuntimeEngine(file.path, name=network, options=options, names=file.names)
        if file.channels_last:
            engine = ChannelsLastEngine(engine)
        _check_contract(engine, file.path, self.size_px)
        return engine


def write_manifest(
    folder: Path,
    *,
    name: str,
    size_px: int,
    preset: str,
    networks: Mapping[str, str],
    layout: str = "nchw",
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
    content = {"format": 1, "name": name, "size_px": size_px, "preset": preset, "networks": entries}
    _Manifest.model_validate(content)
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def add_to_manifest(folder: Path, networks: Mapping[str, str], *, name: str, size_px: int) -> None:
    """Add or replace networks of a bundle, or begin one.

    Args:
        folder: The bundle.
        networks: File name by network.
        name: Of a bundle that is begun.
        size_px: Side of the crops [px] of a bundle that is begun.

    Raises:
        EngineError: There is a manifest and it does not parse.
    """
    path = folder / MANIFEST
    if not path.is_file():
        write_manifest(folder, name=name, size_px=size_px, preset="default", networks=networks)
        return
    try:
        content = _Manifest.model_validate_json(path.read_bytes()).model_dump()
    except ValidationError as error:
        first = error.errors()[0]["msg"]
        raise EngineError(bad(path, first, "a bundle manifest", "correct it, or choose another folder")) from error
    for network, file in networks.items():
        content["networks"][network] = {"file": file, "sha256": file_sha256(folder / file), "layout": "nchw"}
    _Manifest.model_validate(content)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _checked_file(folder: Path, network: str, entry: _NetworkEntry) -> NetworkFile:
    path = folder / entry.file
    if path.resolve().parent != folder.resolve():
        raise EngineError(bad(f"{folder / MANIFEST}: {network}", entry.file, "a file in the bundle", "move it there"))
    sha256 = file_sha256(path)
    if sha256 != entry.sha256:
        remedy = "copy the bundle again, or write its manifest anew if the change was meant"
        raise EngineError(bad(path, f"sha256 {sha256[:12]}...", f"{entry.sha256[:12]}...", remedy))
    names = {theirs: ours for ours, theirs in entry.tensors.items()}
    return NetworkFile(path=path, sha256=sha256, channels_last=entry.layout == "nhwc", names=names)


def _check_contract(engine: Engine, path: Path, size_px: int) -> None:
    inputs, outputs = CONTRACT[engine.spec.name]
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
            raise EngineError(bad(f"{path.name}: {kind}", found, expected, remedy))
