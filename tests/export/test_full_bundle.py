"""A full bundle of a folder of official files: what is lacking is said, what is there is checked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from storm_edge.errors import CheckpointError
from storm_edge.export.full_bundle import (
    OFFICIAL,
    check_weights,
    describe_network,
    find_weights,
    recipes_of,
    require_all,
)
from storm_edge.export.recipe import read_recipe
from tests.engines import tiny

RECIPES = Path(__file__).resolve().parents[2] / "export"


def test_every_published_form_has_a_recipe_that_asks_for_its_file() -> None:
    for forms in OFFICIAL.values():
        for form in forms:
            source = read_recipe(RECIPES / form.recipe).source
            (path,) = [source.checkpoint] if source.onnx is None else source.onnx.values()
            assert path is not None
            assert path == (RECIPES.parent / "weights" / form.file).resolve()
            assert form.origin
            assert form.licence


def test_what_is_lacking_is_said_with_its_origin_and_licence(tmp_path: Path) -> None:
    tiny.score_joint(tmp_path / "score_model.onnx", size_px=32)
    found = find_weights(tmp_path, without=["som", "tom"])
    refine, score, sam2 = (describe_network(item) for item in found)
    assert refine == (
        "refine: lacking; 2023-10-28-18-33-37/model_best.pth from the weights folder that the FoundationPose project "
        "page links (NVlabs/FoundationPose); licence: NVIDIA's source code licence: research and evaluation only, "
        "or refine_model.onnx from NVIDIA's catalogue, nvidia/isaac/foundationpose; licence: NVIDIA's terms of that "
        "catalogue entry"
    )
    assert score.startswith("score: score_model.onnx (")
    assert "sam2.1_hiera_tiny.pt or sam2.1_hiera_small.pt or sam2_hiera_tiny.pt" in sam2
    assert "licence: Apache-2.0" in sam2
    with pytest.raises(CheckpointError, match=r"nothing of refine, sam2.*--without refine --without sam2"):
        require_all(found, tmp_path)
    with pytest.raises(CheckpointError, match="no such folder"):
        find_weights(tmp_path / "none")


def test_recipes_take_the_files_of_the_folder_and_wrong_ones_are_told_first(tmp_path: Path) -> None:
    tiny.score_joint(tmp_path / "score_model.onnx", size_px=32)
    (tmp_path / "2023-10-28-18-33-37").mkdir()
    torch.save({"model": {"some.weight": torch.zeros(1)}}, tmp_path / "2023-10-28-18-33-37" / "model_best.pth")
    found = find_weights(tmp_path, without=["som", "tom", "sam2"])
    require_all(found, tmp_path)
    refine, score = recipes_of(found, tmp_path, RECIPES)
    assert score.source.onnx == {"score": (tmp_path / "score_model.onnx").resolve()}
    check_weights([score])
    with pytest.raises(CheckpointError, match=r"missing .* expected the \d+ entries of RefineNet"):
        check_weights([refine, score])
