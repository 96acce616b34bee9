"""Configuration as values: the base of every ``config.py``, the tree that they make together, and changes of it."""

from storm_edge.config.base import Config, Tuning, check_value, tuned, tuning_of, type_hints

__all__ = ["Config", "Tuning", "check_value", "tuned", "tuning_of", "type_hints"]
