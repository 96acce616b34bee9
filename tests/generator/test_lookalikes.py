"""Look-alikes show another pair's image in the model's distance; twins have the model's shape in other colours."""

from __future__ import annotations

import pytest
import torch

from storm_edge.generator.chance import Chance
from storm_edge.generator.lookalikes import ERROR, Pairs, with_lookalikes, with_twins

S = 8


def crop(rgb: tuple[float, float, float], z: float) -> torch.Tensor:
    """A plate of one colour in the middle of the window, at a distance from the pose [half diameters]."""
    made = torch.zeros(6, S, S)
    made[:, 2:6, 2:6] = torch.tensor([*rgb, 0.1, 0.1, z])[:, None, None]
    return made


@pytest.fixture
def pairs() -> Pairs:
    rendered = torch.stack([crop((0.8, 0.2, 0.2), -0.5), crop((0.5, 0.5, 0.5), -0.4)])
    observed = torch.stack([crop((0.7, 0.2, 0.2), -0.5), crop((0.1, 0.4, 0.8), -0.1)])
    return Pairs(rendered=rendered, observed=observed, error=torch.tensor([0.02, 0.03]))


def chance() -> Chance:
    return Chance(torch.Generator().manual_seed(3))


def test_a_lookalike_is_seen_where_the_model_is(pairs: Pairs) -> None:
    made = with_lookalikes(chance(), pairs, torch.tensor([1, 0]), 1.0)
    assert made.error.tolist() == [ERROR, ERROR]
    for n, other in ((0, 1), (1, 0)):
        inside = (slice(2, 6), slice(2, 6))
        torch.testing.assert_close(made.observed[n, :3], pairs.observed[other, :3])
        torch.testing.assert_close(made.observed[n, 5][inside], pairs.rendered[n, 5][inside])
        assert float(made.observed[n, 5, 0, 0]) == 0.0  # where nothing was measured nothing is now
        before = (pairs.rendered[n, :3, 3, 3] - made.observed[n, :3, 3, 3]).abs().sum()
        assert float((made.rendered[n, :3, 3, 3] - made.observed[n, :3, 3, 3]).abs().sum()) < float(before)
        torch.testing.assert_close(made.rendered[n, 3:], pairs.rendered[n, 3:])


def test_without_another_object_a_pair_stays_itself(pairs: Pairs) -> None:
    made = with_lookalikes(chance(), pairs, torch.tensor([0, 0]), 1.0)
    assert made.error.tolist() == [pytest.approx(0.02), ERROR]
    torch.testing.assert_close(made.observed[0], pairs.observed[0])


def test_a_twin_has_other_colours_and_a_grey_model_none(pairs: Pairs) -> None:
    made = with_twins(chance(), pairs, 1.0)
    assert made.error.tolist() == [ERROR, pytest.approx(0.03)]
    colour = made.rendered[0, :3, 3, 3]
    assert sorted(colour.tolist()) == pytest.approx([0.2, 0.2, 0.8])
    assert float(colour[0]) == pytest.approx(0.2)
    torch.testing.assert_close(made.rendered[1], pairs.rendered[1])
    torch.testing.assert_close(made.observed, pairs.observed)
