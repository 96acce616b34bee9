"""Segment: candidate masks of an object in an image."""
