"""Benchmarks by name; `python -m benchmarks list` says what each of them measures."""
