"""One built engine on disk: its file, and the manifest beside it that says what it was built from.

    refine-1f00c0ffee00.engine
    refine-1f00c0ffee00.json      its key (`engines.engine_key.EngineKey`), hash and size, and what building it took

The manifest is written last, so that an engine without one is none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from storm_edge.engines.backends.gpu import GpuTarget
from storm_edge.engines.backends.tensorrt.api import TensorRt
from storm_edge.errors import EngineError, mismatch
from storm_edge.files import sha256, write_atomically
from storm_edge.parsing import parse_json

SUFFIX = ".engine"
REBUILD = "build it again with storm-edge build"
"""What to do about an engine that cannot be used."""


def write_engine(path: Path, data: bytes, manifest: dict[str, Any]) -> None:
    """Write an engine and its manifest.

    Args:
        path: Of the engine.
        data: The serialised engine.
        manifest: What its manifest says beside its hash and size.

    Raises:
        OutputError: They cannot be written; what was there stays.
    """
    write_atomically(path, data, remedy="free some, or choose --out")
    content = {"format": 1, **manifest, "engine_sha256": sha256(data), "engine_bytes": len(data)}
    text = json.dumps(content, indent=2) + "\n"
    write_atomically(path.with_suffix(".json"), text.encode(), remedy="free some, or choose --out")


def read_engine(path: Path) -> tuple[bytes, dict[str, Any]]:
    """An engine and its manifest.

    Raises:
        EngineError: Either is missing, or the engine is not the one that was built.
    """
    try:
        manifest: dict[str, Any] = parse_json(path.with_suffix(".json").read_text(encoding="utf-8"))
        data = path.read_bytes()
        wanted, size = str(manifest["engine_sha256"]), manifest["engine_bytes"]
        digest = sha256(json.dumps(manifest["key"], sort_keys=True).encode())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(mismatch(path, error, "an engine with its manifest", REBUILD)) from error
    if not path.stem.endswith(f"-{digest[:12]}"):
        got = f"a manifest that says it is {digest[:12]}"
        raise EngineError(mismatch(path, got, "the one it was built with", REBUILD))
    if len(data) != size:
        raise EngineError(mismatch(path, f"{len(data)} bytes", f"{size}", REBUILD))
    found = sha256(data)
    if found != wanted:
        raise EngineError(mismatch(path, f"sha256 {found[:12]}", f"{wanted[:12]}", REBUILD))
    return data, manifest


def check_fits(path: Path, key: dict[str, Any], api: TensorRt, here: GpuTarget | None) -> None:
    """Refuse an engine that this TensorRT or this GPU would crash on.

    Args:
        path: Of the engine, for messages.
        key: What its manifest says it was built from.
        api: TensorRT that would load it.
        here: The GPU that would run it; None to leave that open.

    Raises:
        EngineError: It was built by another package or version, or for another GPU.
    """
    flavours = {"tensorrt", "tensorrt_lean"}
    alike = key["flavour"] == api.flavour or {key["flavour"], api.flavour} <= flavours
    if not alike or key["version"] != api.version:
        got = f"an engine of {key['flavour']} {key['version']}"
        raise EngineError(mismatch(path, got, f"one of {api.flavour} {api.version}", REBUILD))
    if here is not None and (key["sm"] != here.sm or key["gpu"] not in ("any", here.gpu)):
        got = f"an engine for {key['sm']} ({key['gpu']})"
        raise EngineError(mismatch(path, got, f"one for {here.sm} ({here.gpu})", REBUILD))
