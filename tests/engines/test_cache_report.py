"""The page about engines: every engine with its size and what its build took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from storm_edge.engines import cache as module
from storm_edge.engines.backends.tensorrt.api import TensorRt
from storm_edge.engines.backends.tensorrt.build import Built
from storm_edge.engines.cache import EngineCache
from storm_edge.engines.cache_report import REPORT, write_engine_report
from storm_edge.errors import OutputError
from tests.engines.tensorrt import SM86, doubled, exported


class _Ten:
    __version__ = "10.3.0"
    Builder = object


def test_size_and_peak_memory_of_every_engine_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(api: TensorRt, onnx: Path, **options: Any) -> Built:
        mib = 2**20
        return Built(
            data=bytes(3 * mib // 2), timing_cache=b"", seconds=4.25, peak_bytes=700 * mib, estimate_bytes=900 * mib
        )

    monkeypatch.setattr(module, "build_engine", build)
    graphs = [exported(doubled(tmp_path / f"{name}.onnx", factor=i)) for i, name in enumerate(("refine", "score"), 2)]
    cache = EngineCache(tmp_path / "engines", "nano")
    cache.build(graphs, TensorRt(flavour="tensorrt", module=_Ten), SM86)
    text = write_engine_report(cache.root).read_text()
    for cell in ("refine", "score", "sm86 (any)", "tensorrt 10.3.0", "1.5", "4.2", "700", "900"):
        assert f"<td>{cell}</td>" in text, cell
    assert "2 engines, 3.0 MiB" in text
    told = json.loads((cache.root / REPORT).read_text())["engines"]
    assert [e["graph"] for e in told] == ["refine", "score"]
    assert all((cache.root / e["file"]).is_file() for e in told)
    # The report is no engine: the next look at the cache does not stumble over it.
    assert [s.reason for s in cache.check(graphs, TensorRt(flavour="tensorrt", module=_Ten), SM86)] == ["", ""]
    (cache.root / "fp16" / "sm86" / "refine-000000000000.json").write_text("{")  # a damaged manifest is none either
    sound = json.loads(next((cache.root / "fp16" / "sm86").glob("score-*.json")).read_text())
    for number, change in enumerate(({"engine_bytes": "x"}, {"build_seconds": 10**400}, {"build_peak_bytes": None})):
        path = cache.root / "fp16" / "sm86" / f"refine-00000000000{number + 1}.json"
        path.write_text(json.dumps(sound | change))
    path.with_name("refine-000000000009.json").write_text("[" * 99_999)
    (cache.root / "report.html").write_text("of the export")
    assert write_engine_report(cache.root).read_text() == text
    assert (cache.root / "report.html").read_text() == "of the export"


@pytest.mark.parametrize(
    ("name", "content"), [("engines.json", "{}"), ("engines.json", "mine"), ("engines.html", "<title>mine</title>")]
)
def test_a_users_file_of_the_reports_name_is_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(OutputError, match=f"{name}: got a file that storm-edge build did not write"):
        write_engine_report(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == content
