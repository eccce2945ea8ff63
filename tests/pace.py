"""How slow this machine is, so that a bound of processor time means the same on every one."""

import time
from functools import cache

_ADDITIONS = 200_000
_QUICK_S = 0.01  # what they take on a quick core


@cache
def pace() -> float:
    """How many times as long as on a quick core plain Python takes here, 1 at least."""
    return max(1.0, min(_took_s() for _ in range(5)) / _QUICK_S)


def _took_s() -> float:
    began, total = time.thread_time(), 0
    for number in range(_ADDITIONS):
        total += number
    return time.thread_time() - began
