"""Broken files for every reader: what is broken in them, who reads them, and the process that does."""
