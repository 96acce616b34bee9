"""Detect: candidate masks registered, their poses judged, the object found or not."""
