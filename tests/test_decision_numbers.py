"""No number that somebody chose stands in the pipeline or the loop outside the configuration tree."""

from __future__ import annotations

import pytest

from tests.decision_numbers import ROOT, decision_numbers, files

MOST = {
    "live": 25,
}
"""How many are left in each part; may only fall."""


def test_a_part_has_no_more_decision_numbers_than_before() -> None:
    found: dict[str, list[str]] = {}
    for path in files():
        relative = path.relative_to(ROOT / "storm_edge")
        part = "live" if relative.parts[0] == "live" else "/".join(relative.parts[:2])
        found.setdefault(part, []).extend(
            str(number) for number in decision_numbers(path.read_text(encoding="utf-8"), str(relative))
        )
    for part, numbers in found.items():
        most = MOST.get(part, 0)
        assert len(numbers) <= most, (
            f"{part} has {len(numbers)} decision numbers, at most {most} may be left: put new ones into its "
            "config.py, or say '# fixed: why' at the end of the line\n" + "\n".join(numbers)
        )


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
def test_what_somebody_chose_is_found(line: str) -> None:
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
def test_what_nobody_chose_is_left_alone(line: str) -> None:
    assert not decision_numbers(line)
