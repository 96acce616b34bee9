"""What `track` and `segment` open when they are given a model file."""

from __future__ import annotations

from pathlib import Path

import pytest

from storm_edge.choices import LengthUnit
from storm_edge.cli import inputs


def test_notes_on_a_model_file_reach_whoever_tracks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(inputs, "say", said.append)
    corners = ["0 0 0", "100 0 0", "0 80 0", "0 0 60"]
    lines = ["mtllib a.mtl", "usemtl a", *(f"v {corner}" for corner in corners), "vt 0 0"]
    lines += [f"f {a}/1 {b}/1 {c}/1" for a, b, c in [(1, 3, 2), (1, 2, 4), (2, 3, 4), (1, 4, 3)]]
    (tmp_path / "wedge.obj").write_text("\n".join(lines))
    (tmp_path / "a.mtl").write_text("newmtl a\nmap_Kd gone.png\n")
    inputs.open_object(tmp_path / "wedge.obj", LengthUnit.MM, view_subdivisions=0, report=lambda stage, share: None)
    assert len(said) == 2
    assert "gone.png was not found" in said[0]
    assert "--init auto) is unreliable" in said[1]
