"""A second Ctrl-C or SIGTERM ends the process, whatever native code it is in.

Python calls handlers of signals between two of its own instructions, which may be minutes apart. What arrives is
written to a pipe at once, though; a thread reads it there. It only ends what the handlers have not ended by then.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from storm_edge.cli.console import fail_line
from storm_edge.interruption import ENDED_BY, SAME_PRESS_S
from storm_edge.result_folder import unfinished

GRACE_S = 1.0
"""How long the second signal's own handler may take to clear away."""


@contextmanager
def ended_by_second_signal() -> Iterator[None]:
    """While this is open a second signal ends the process `GRACE_S` after it, with status 128 and its number.

    Outside of the main thread, where Python handles no signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), daemon=True, name="second signal").start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)  # which ends the thread


def _watch(reader: int) -> None:
    first_s: float | None = None
    while arrived := os.read(reader, 1):
        number = arrived[0]
        if number not in ENDED_BY:
            continue
        now_s = time.monotonic()
        if first_s is None:
            first_s = now_s
        elif now_s - first_s > SAME_PRESS_S:
            time.sleep(GRACE_S)
            left = "".join(f"; {folder} is left, and can be removed" for folder in unfinished())
            fail_line(f"{ENDED_BY[signal.Signals(number)]} twice, so it ended at once{left}")
            os._exit(128 + number)
    os.close(reader)
