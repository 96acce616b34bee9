from __future__ import annotations

import json

import pytest

from storm_edge.cli import checkup
from storm_edge.cli.checkup import Finding
from tests.cli.conftest import Command


def test_this_machine_renders_and_names_what_it_lacks(storm_edge: Command) -> None:
    ended = storm_edge("doctor", "--json")
    report = json.loads(ended.out)
    findings = {finding["name"]: finding for finding in report["findings"]}
    assert findings["CPU kernels"]["passed"]
    assert findings["Python"]["passed"]
    assert not findings["TensorRT"]["required"]
    assert all(finding["detail"] for finding in findings.values())
    assert report["healthy"] == all(f["passed"] for f in findings.values() if f["required"])
    assert ended.status == (0 if report["healthy"] else 1)


@pytest.mark.parametrize(("required", "status"), [(True, 1), (False, 0)])
def test_only_what_is_required_fails(
    storm_edge: Command, monkeypatch: pytest.MonkeyPatch, required: bool, status: int
) -> None:
    finding = Finding(name="spoon", passed=False, required=required, detail="bring one")
    monkeypatch.setattr(checkup, "examine", lambda: [finding])
    ended = storm_edge("doctor")
    assert ended.status == status
    assert ("MISSING" in ended.out) == required
    assert "bring one" in ended.out
