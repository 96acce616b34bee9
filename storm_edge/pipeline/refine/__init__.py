"""Refine: poses improved by geometry and by RefineNet, and scored; register and track both use it."""
