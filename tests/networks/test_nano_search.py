"""The nano segmenter and verifier: shapes, parts against the whole, and what they must not depend on."""

from __future__ import annotations

import pytest
import torch

from storm_edge.networks.nano_som import NanoSom, guess_from_colour
from storm_edge.networks.nano_tom import NanoTom


@pytest.fixture
def som() -> NanoSom:
    torch.manual_seed(0)
    net = NanoSom().eval()
    # As made, the head adds nothing to the guess; give it something to say.
    torch.nn.init.normal_(net.head.mask.weight, std=0.5)
    return net


def test_parts_equal_the_whole_and_objects_do_not_mix(som: NanoSom) -> None:
    """Worst difference seen: 1e-6 (x86-64 CPU)."""
    image, objects, views = torch.rand(2, 8, 120, 160), torch.rand(2, 3, 5, 60, 80), torch.rand(2, 3, 16, 8, 32, 32)
    with torch.no_grad():
        mask, present = som(image, objects, views)
        assert mask.shape == (2, 3, 60, 80)
        assert present.shape == (2, 3)
        keys, values = som.reference(views[1, 2:])
        alone, there = som.head(*som.query(image[1:]), objects[1, 2:], keys, values)
    torch.testing.assert_close(alone[0], mask[1, 2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(there[0], present[1, 2], atol=1e-5, rtol=1e-5)


def test_the_order_of_views_does_not_matter(som: NanoSom) -> None:
    image, objects, views = torch.rand(1, 8, 120, 160), torch.rand(1, 1, 5, 60, 80), torch.rand(1, 1, 16, 8, 32, 32)
    with torch.no_grad():
        one, _ = som(image, objects, views)
        other, _ = som(image, objects, views.flip(2))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_it_begins_at_the_guess_from_colour() -> None:
    objects = torch.rand(1, 1, 5, 60, 80)
    mask, _ = NanoSom().eval()(torch.rand(1, 8, 120, 160), objects, torch.rand(1, 1, 4, 8, 32, 32))
    torch.testing.assert_close(mask[:, 0], guess_from_colour(objects[:, 0]))


def test_the_guess_wants_colour_and_relief() -> None:
    objects = torch.zeros(1, 5, 60, 80)
    objects[0, 1, 10:20] = 1.5  # six bits nearer to the object's colours than to the scene's ...
    objects[0, 4, 10:15] = 0.3  # ... but only half of that stands out from the table
    guess = guess_from_colour(objects)[0]
    assert (guess[10:15] > 3.0).all()
    assert (guess[20:] < -3.0).all()
    assert (guess[15:20] < guess[10:15] - 3.9).all()


def test_tom_compares_every_crop_with_every_other() -> None:
    torch.manual_seed(1)
    net = NanoTom().eval()
    crops = torch.rand(2, 4, 6, 80, 80)
    with torch.no_grad():
        logits = net(crops)
        current, _ = net.encode(crops[1, 2:3])
        _, memory = net.encode(crops[1, :1])
        one = net.compare(current, memory)
    assert logits.shape == (2, 4, 4)
    torch.testing.assert_close(one[0], logits[1, 2, 0], atol=1e-5, rtol=1e-5)
