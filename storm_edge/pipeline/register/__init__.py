"""Register: from a mask of the object to its pose."""
