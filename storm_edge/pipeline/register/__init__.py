"""Register: a mask to a pose."""
