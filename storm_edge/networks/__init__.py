"""Torch modules and checkpoint loaders; imported by export and train only."""
