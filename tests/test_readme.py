"""The README's snippet runs as it is printed, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from storm_edge.bop.labels import GroundTruth
from storm_edge.bop.writer import BopWriter
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import invert
from tests.staged import Staged

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_snippet_runs(
    staged: Staged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    T_cam_obj = staged.T_cam_centre @ invert(staged.bundle.T_obj_centre)
    picture = staged.frame()
    with BopWriter(tmp_path / "scene") as writer:
        writer.add_model(1, staged.mesh)
        for index in range(3):
            frame = Frame(rgb=picture.rgb, depth_m=picture.depth_m, K=picture.K, index=index)
            mask = [staged.mask()]
            writer.add(frame, [GroundTruth(object_id=1, T_cam_obj=T_cam_obj)], masks=mask, masks_visib=mask)
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(snippet, "README.md", "exec"), {})
    lines = [line for line in capsys.readouterr().out.splitlines() if "TRACKING" in line]
    assert [line.split()[0] for line in lines] == ["0", "1", "2"]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()
