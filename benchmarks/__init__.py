"""Benchmarks, run from the repository root: `python -m benchmarks list`, `python -m benchmarks run NAME`."""
