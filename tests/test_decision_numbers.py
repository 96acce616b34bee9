"""Every threshold, weight, count, size and duration of the pipeline and the loop is in the configuration tree."""

from __future__ import annotations

import pytest

from tests.decision_numbers import ROOT, decision_numbers, files


def test_the_pipeline_and_the_loop_have_no_decision_numbers() -> None:
    found = [
        str(number)
        for path in files()
        for number in decision_numbers(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))
    ]
    remedy = "put them into the config.py of their stage, or say '# fixed: why' at the end of the line"
    assert not found, "\n".join([remedy, *found])


@pytest.mark.parametrize(
    "line",
    [
        "x = y * 0.7",
        "LIMIT = 2.0",
        "_A, _B = 1.0, 2.0",
        "def f(hang_s: float = 20.0) -> None: ...",
        "class DetectConfig: ...",
        "class A:\n    count: int = 5",
        "if score > 0.25: pass",
        "x = np.clip(y, 0.05, 1.0)",
        "x = y[y > 0.3]",
        "x = np.full((4, 4), 7)",
        "x = [v * 3 for v in values]",
        "f(keep=16)",
        "x = 5  # because",
    ],
)
def test_a_decision_number_is_found(line: str) -> None:
    assert decision_numbers(line)


@pytest.mark.parametrize(
    "line",
    [
        "x = y + 1",
        "x = -1.0 * y / 2",
        "x = 0.5 * (a + b)",
        "spent_ms = 1e3 * spent_s",
        "x = rgb / 255.0",
        "x = a / max(b, 1e-9)",
        "R, t = T[:3, :3], T[:3, 3]",
        "x = np.zeros((4, 4))",
        "x = y.reshape(-1, 3)",
        "x = y.mean(axis=3)",
        "ok = y.ndim == 3 and y.shape[-1] == 4",
        "x: tuple[Literal[4], int] = y",
        "x = round(y, 4)",
        "class Lane(IntEnum):\n    LOCATE = 7",
        "SIZE_PX = 160  # fixed: the network's input",
        "x = f(\n    7,\n    8,\n)  # fixed: the format",
        '"""5"""',
    ],
)
def test_other_numbers_are_left_alone(line: str) -> None:
    assert not decision_numbers(line)
