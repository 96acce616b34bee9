"""What a recipe says of a network beside its weights reaches who builds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storm_edge.errors import ConfigError
from storm_edge.export import sources
from storm_edge.export.recipe import read_recipe
from storm_edge.networks.dinov2 import Dinov2Config
from storm_edge.networks.som import Som, SomConfig

VARIANTS = Path(__file__).resolve().parents[2] / "export" / "variants"


def test_the_variant_of_sam2_is_the_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(sources, "build_sam2", lambda variant: asked.append(variant))
    monkeypatch.setattr(sources, "load_sam2", lambda path, variant: asked.append((path.name, variant)))
    monkeypatch.setattr(
        sources, "export_sam2", lambda net, folder: dict.fromkeys(("sam2_encoder", "sam2_decoder"), 0.0)
    )
    recipe = read_recipe(VARIANTS / "sam2.0-small.yaml")
    assert sources.make_fp32(recipe, tmp_path, random_weights=0).untrained
    sources.make_fp32(recipe, tmp_path)
    assert asked == ["2.0-small", ("sam2_hiera_small.pt", "2.0-small")]


def test_a_context_of_another_length_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Dinov2Config(width=24, heads=2, depth=1)
    recipe = read_recipe(VARIANTS / "som-language.yaml")
    for length in (None, 5):
        net = Som(SomConfig(encoder=encoder, depth=1, heads=4, context=length))
        monkeypatch.setattr(sources, "load_som", lambda path, net=net: net)
        with pytest.raises(ConfigError, match=f"one of length {length}, expected length 512 of the recipe"):
            sources.make_fp32(recipe, tmp_path)


def test_a_language_context_is_exported_where_the_recipe_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int | None, bool]] = []
    net = Som(SomConfig(encoder=Dinov2Config(width=24, heads=2, depth=1), depth=1, heads=4, context=512))

    def export(net: Som, folder: Path, *, with_context: bool) -> dict[str, float]:
        asked.append((net.config.context, with_context))
        return dict.fromkeys(("som_reference", "som_query", "som_head"), 0.0)

    monkeypatch.setattr(sources, "load_som", lambda path: net)
    monkeypatch.setattr(sources, "export_som", export)
    sources.make_fp32(read_recipe(VARIANTS / "som-language.yaml"), tmp_path)
    sources.make_fp32(read_recipe(VARIANTS.parent / "full-som.yaml"), tmp_path)
    assert asked == [(512, True), (512, False)]
