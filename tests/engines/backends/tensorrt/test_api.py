"""The contract with TensorRT: every name we use is there, in the packages that import without a GPU."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from storm_edge.engines.backends.gpu import GpuTarget
from storm_edge.engines.backends.tensorrt import api, build, engine
from storm_edge.engines.backends.tensorrt.api import (
    BUILDER_API,
    RUNTIME_API,
    TensorRt,
    load_installed_builder,
    load_tensorrt,
)
from storm_edge.engines.backends.tensorrt.target import resolve_target
from storm_edge.errors import BackendError, ConfigError
from tests.engines.tensorrt import missing_names, package


@pytest.mark.parametrize("flavour", ["tensorrt_lean", "tensorrt_rtx"])
def test_what_running_needs_is_there(flavour: str) -> None:
    assert missing_names(package(flavour).module, RUNTIME_API) == []


def test_what_building_needs_is_there() -> None:
    assert missing_names(package("tensorrt_rtx").module, BUILDER_API) == []


def test_the_contract_covers_what_the_code_calls() -> None:
    """A method called on TensorRT but not listed would go unchecked on the packages we cannot run."""
    listed = {name for names in (*RUNTIME_API.values(), *BUILDER_API.values()) for name in names}
    holders = {"builder", "config", "network", "parser", "profile", "context", "_engine", "_runtime", "cache", "kept"}
    own = {
        "context",
        "least",
        "most",
        "num_compute_capabilities",
        "set_compute_capability",
    }  # ours; RTX only, guarded
    used = set()
    for module in (build, engine):
        tree = ast.parse(Path(str(module.__file__)).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                base = node.value
                name = base.id if isinstance(base, ast.Name) else base.attr if isinstance(base, ast.Attribute) else ""
                if name in holders:
                    used.add(node.attr)
    assert len(used) > 15
    assert used - listed - own == set()


def test_flags_follow_the_version() -> None:
    class Ten:
        class NetworkDefinitionCreationFlag:
            STRONGLY_TYPED = 1

    class Eleven:
        pass

    assert TensorRt(flavour="tensorrt", module=Ten).network_flags == 2
    assert TensorRt(flavour="tensorrt", module=Eleven).network_flags == 0


def test_what_cannot_be_built_here_is_said() -> None:
    api = package("tensorrt_rtx")
    assert resolve_target(api, "sm86") == GpuTarget(sm="sm86", gpu="any", system="any")
    with pytest.raises(BackendError, match=r"got sm87, expected one of .*'sm86'.*build on that board"):
        resolve_target(api, "sm87")
    with pytest.raises(ConfigError, match="sm and a number"):
        resolve_target(api, "orin")


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendError, match=r"tensorrt: got .*pip install tensorrt"):
        load_tensorrt("tensorrt")
    with pytest.raises(BackendError, match="name one of these"):
        load_tensorrt("tensorflow")


@pytest.mark.parametrize(("installed", "taken"), [(("tensorrt",), "tensorrt"), (("tensorrt_rtx",), "tensorrt_rtx")])
def test_the_builder_that_is_installed_is_taken(
    monkeypatch: pytest.MonkeyPatch, installed: tuple[str, ...], taken: str
) -> None:
    monkeypatch.setattr(api, "find_spec", lambda name: name if name in installed else None)
    monkeypatch.setattr(api, "load_tensorrt", lambda name: TensorRt(flavour=name, module=None))
    assert load_installed_builder().flavour == taken


def test_without_a_builder_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "find_spec", lambda name: None)
    with pytest.raises(
        BackendError, match=r"no package that builds engines.*pip install 'storm-edge\[tensorrt-rtx\]'"
    ):
        load_installed_builder()
