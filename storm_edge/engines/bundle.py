"""`NetworkBundle`: the networks of one folder, checked against its manifest and opened on the backend of choice.

What a bundle holds and what its networks must take and give is said in `engines.manifest`; which runtime runs them in
`engines.backend`. Above `engines` only `pipeline.segment.maps` and the choice of a verifier know the tier they run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from storm_edge.choices import ENGINE_FOLDER, Backend
from storm_edge.engines.backend import NetworkFile, open_network
from storm_edge.engines.contract import Engine, EngineOptions
from storm_edge.engines.launch_counts import LaunchCounts
from storm_edge.engines.manifest import (
    MANIFEST,
    PACKAGED,
    Manifest,
    NetworkEntry,
    Tier,
    check_contract,
    file_sha256,
    read_manifest,
)
from storm_edge.errors import EngineError, mismatch


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
    """Whose segmenter and verifier they are, see `engines.manifest`."""
    backend: Backend = Backend.ONNXRUNTIME
    """What runs them."""
    engine_folder: Path = ENGINE_FOLDER
    """Where `storm-edge build` keeps engines, for backends that run those."""
    launch_counts: LaunchCounts = field(default_factory=LaunchCounts, repr=False, compare=False)
    """How often its networks were launched; shared by all bundles made of this one."""

    @classmethod
    def load(
        cls, which: str | Path, *, backend: Backend = Backend.ONNXRUNTIME, engine_folder: Path = ENGINE_FOLDER
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
        folder, manifest = find_manifest(which)
        networks = {network: _checked_file(folder, network, entry) for network, entry in manifest.networks.items()}
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
        return {item.name: getattr(self, item.name) for item in fields(NetworkBundle)}

    def launches_since(self, before: Mapping[str, int]) -> dict[str, int]:
        """Launches of every network, without those that ``before`` has (`LaunchCounts.by_network`)."""
        launched = self.launch_counts.by_network()
        return {name: launched.get(name, 0) - before.get(name, 0) for name in self.networks}

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
        engine = open_network(
            file, network, backend=self.backend, options=options or EngineOptions(), engine_folder=self.engine_folder
        )
        check_contract(engine.spec, file=file.path.name, size_px=self.size_px, tier=self.tier)
        return self.launch_counts.counted(network, engine)


def find_manifest(which: str | Path) -> tuple[Path, Manifest]:
    """The folder of a bundle, and its manifest; its networks are not looked at.

    Args:
        which: As for `NetworkBundle.load`.

    Raises:
        EngineError: No such bundle, or a manifest that does not parse or has unknown keys.
    """
    folder = Path(which)
    if not folder.is_dir() and (PACKAGED / str(which) / MANIFEST).is_file():
        folder = PACKAGED / str(which)
    return folder, read_manifest(folder, given=which)


def _checked_file(folder: Path, network: str, entry: NetworkEntry) -> NetworkFile:
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
