"""Waiting in a test until something is so."""

import time
from collections.abc import Callable


def wait_until(true: Callable[[], bool], seconds: float = 120, what: str = "it") -> None:
    """Look again and again; fails where it does not come to be in time."""
    asked = time.monotonic()
    deadline = asked + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        # A look that reads much must not take the cores from those whom it waits for.
        time.sleep(max(0.05, 3 * (time.monotonic() - asked)))
        asked = time.monotonic()
