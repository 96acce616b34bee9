"""docs/reference-scripts.md has every flag of the reference's scripts, and what it names here is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from storm_edge.cli.main import app

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "reference-scripts.md").read_text(encoding="utf-8")
TABLES = PAGE + (DOCS / "datasets.md").read_text(encoding="utf-8")

_EVALUATION = "bop_dir mask_source cnos_json mask_type config ckpt thresh sam_thresh est_refine_iter debug_dir"
FLAGS = {
    "SOM.py": "config ckpt query views threshold",
    "SOM_Class.py": "image views cmt_config cmt_ckpt som_thresh sam_thresh device output",
    "evaluation_SOM_mask.py": "data_root output_root config ckpt threshold device",
    "evaluation_SOM.py": _EVALUATION,
    "evaluation_STORM.py": f"{_EVALUATION} device",
    "evaluation_result.py": "bop_dir pred_dir max_ratio",
    "som/process.py": "",
    "som/pure_all.py": "data_root",
    "som/gemma_description.py": "data_root model_name device max_new_tokens",
    "som/data/dataload.py": "root split image_size batch_size use_augment",
    "som/scripts/train.py": "config resume",
    "som/trainning/trainer.py": "config mode ckpt resume",
    "tom/train/train.py": "",
    "tom/evaluation/evaluatetom.py": "checkpoint pairs-jsonl batch-size num-workers threshold img-size",
    "tom/model/modelsim.py": "img1 img2",
    "run_demo.py": "mesh_file test_scene_dir est_refine_iter track_refine_iter debug debug_dir",
    "run_linemod.py": "linemod_dir use_reconstructed_mesh ref_view_dir debug debug_dir",
    "run_ycb_video.py": "ycbv_dir use_reconstructed_mesh ref_view_dir debug debug_dir",
    "bundlesdf/run_nerf.py": "ref_view_dir dataset",
}
"""Flags by script, of dengyufuqin/Storm 8b716ed and the FoundationPose in it."""


def rows() -> list[tuple[list[str], str, str]]:
    """Scripts, flags and what does their work, of rows of three columns; one without scripts has those above it."""
    found, scripts = [], [""]
    for line in TABLES.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != 3:
            continue
        scripts = re.findall(r"`([\w/]+\.py)`", cells[0]) or scripts
        found.append((scripts, cells[1], cells[2]))
    return found


def commands(group: Any, name: str = "") -> dict[str, set[str]]:
    """Options by command, of a command of click or of typer's own copy of it."""
    if hasattr(group, "commands"):
        return {
            key: options
            for below, command in group.commands.items()
            for key, options in commands(command, f"{name} {below}".strip()).items()
        }
    return {name: {option for p in group.params for option in (*p.opts, *p.secondary_opts)}}


@pytest.mark.parametrize("script", FLAGS)
def test_every_flag_has_a_row(script: str) -> None:
    mine = " ".join(flags for scripts, flags, _ in rows() if script in scripts)
    assert mine
    missing = [f"--{flag}" for flag in FLAGS[script].split() if not re.search(rf"`--{flag}[`\s]", mine)]
    # Those that all evaluations have stand in rows of their own, by what they are to all of them.
    assert not [flag for flag in missing if f"`{flag}`" not in mine]


def test_commands_and_options_that_it_names_are_there() -> None:
    known = commands(typer.main.get_command(app))
    options = set().union(*known.values())
    for _, _, here in rows():
        for quoted in re.findall(r"`([^`]+)`", here):
            words = quoted.split()
            named = [word for word in words if word.startswith("--")]
            assert set(named) <= options, quoted
            command = next((c for c in (" ".join(words[:2]), words[0]) if c in known), None)
            if command is not None and named:
                assert set(named) <= known[command], quoted
