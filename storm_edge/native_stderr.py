"""Lines that native libraries print to file descriptor 2, past any setting of theirs, kept from the user."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_lines(*, containing: str) -> Iterator[None]:
    """Drop lines with these words that are printed to file descriptor 2 within the block; others come after it."""
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with tempfile.TemporaryFile() as said:
            os.dup2(said.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(stderr, 2)
            said.seek(0)
            for line in said.read().decode(errors="replace").splitlines(keepends=True):
                if containing not in line:
                    sys.stderr.write(line)
    finally:
        os.close(stderr)
