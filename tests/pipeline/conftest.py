"""What tests of several stages of a search share."""

from __future__ import annotations

import pytest

from storm_edge.pipeline.segment.config import SegmentConfig, Source
from storm_edge.pipeline.segment.segmenter import Segmenter


@pytest.fixture(scope="session")
def colour_segmenter() -> Segmenter:
    """By colours and depth alone, so that no trained network is needed."""
    return Segmenter(None, config=SegmentConfig(source=Source.COLOUR))
