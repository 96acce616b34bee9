"""`python -m storm_edge` is the `storm-edge` command, for launchers such as torchrun that want a module."""

from storm_edge.cli.main import run

run()
