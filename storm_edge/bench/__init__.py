"""Latency benchmarks: runner, report, comparison, and the state of the board."""
