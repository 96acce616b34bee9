"""Recipes: the ones that ship parse, and what they get wrong is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import ConfigError
from storm_edge.export.recipe import GRAPHS, read_recipe

SHIPPED = sorted((Path(__file__).resolve().parents[2] / "export").glob("*.yaml"))
VARIANTS = {path.stem: path for path in (SHIPPED[0].parent / "variants").glob("*.yaml")}
GOOD = "network: refine\ntier: nano\nsource: {bundle: nano}\ngraphs: {refine: {}}\n"


def test_every_network_of_both_tiers_has_a_recipe() -> None:
    read = [read_recipe(path) for path in SHIPPED]
    assert {(r.tier, r.network) for r in read} == {
        *(("nano", n) for n in ("refine", "score", "som", "tom")),
        *(("full", n) for n in GRAPHS if n != "similarity"),
    }
    assert all(r.gates.keys() == {"fp16", "int8"} for r in read)


def test_the_nano_recipes_are_those_of_the_bundle_that_ships() -> None:
    """So that its command exports all of it, byte for byte, and nothing that it does not hold."""
    read = [read_recipe(path) for path in SHIPPED if path.stem.startswith("nano-")]
    assert {graph for recipe in read for graph in recipe.graphs} == NetworkBundle.load("nano").networks.keys()
    assert {recipe.source.bundle for recipe in read} == {"nano"}


def test_variants_take_the_place_of_a_recipe() -> None:
    read = {name: read_recipe(path) for name, path in VARIANTS.items()}
    assert {r.network for r in read.values()} == {"refine", "score", "som", "similarity", "sam2"}
    assert {r.variant for r in read.values() if r.network == "sam2"} == {"2.0-tiny", "2.0-small", "2.1-small"}
    assert read["som-language"].context == 512
    assert read["nvidia-score"].graphs.keys() == {"score"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("tier", "teir"), r"unknown key 'teir'.*did you mean 'tier'\?"),
        (GOOD.replace("{refine: {}}", "{refine: {fp16: {fp32_tial: true}}}"), r"did you mean 'fp32_tail'\?"),
        (GOOD.replace("network: refine", "network: refiner"), "network: 'refiner'"),
        (GOOD.replace("{refine: {}}", "{score: {}}"), "not those of refine"),
        (GOOD.replace("{bundle: nano}", "{bundle: nano, checkpoint: x.pt}"), "exactly one of"),
        (GOOD.replace("{refine: {}}", "{refine: {profiles: {track: [1, 8, 4]}}}"), "1 <= least <= usual <= most"),
        (GOOD + "variant: 2.0-tiny\n", "variant is of sam2 alone, not of refine"),
        (GOOD + "context: 8\n", "context is of som alone, not of refine"),
        ("network: [", "expected YAML"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as raised:
        read_recipe(path)
    assert "\n" not in str(raised.value)


def test_the_fingerprint_is_of_what_is_asked_for(tmp_path: Path) -> None:
    """Not of comments or of the folder a checkout lies in, or engines would be stale on every machine but one."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        source = GOOD.replace("bundle: nano", "checkpoint: net.pt")
        (tmp_path / folder / "recipe.yaml").write_text(f"# in {folder}\n{source}")
    first, second = (read_recipe(tmp_path / folder / "recipe.yaml") for folder in ("a", "b"))
    assert first.source.checkpoint == tmp_path / "a" / "net.pt"
    assert first.sha256 == second.sha256
    (tmp_path / "b" / "recipe.yaml").write_text(
        source.replace("{refine: {}}", "{refine: {profiles: {track: [1, 1, 2]}}}")
    )
    assert read_recipe(tmp_path / "b" / "recipe.yaml").sha256 != first.sha256
