"""Memory stays where it is however many calls are scored."""

import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from agent.config import load_config
from agent.record import Call
from agent.score import load_panel
from agent.scoring.memory import Memory

CALLS, SLICE = 200_000, 500
BOUND = 2 << 20
# What the allocator may keep beside the bounded memory of outputs, which is full by then.
ALLOWED_MIB = 48


def rss_mib() -> float:
    """What the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


@pytest.mark.parametrize("columns", [1, 2, 390])
def test_what_is_remembered_takes_no_more_than_its_bound(columns: int) -> None:
    tracemalloc.start()
    try:
        memory = Memory(BOUND)
        for at in range(20_000):
            memory.put(at.to_bytes(16), np.zeros((1, columns), np.float32))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.7 * BOUND < held < 1.1 * BOUND


@pytest.mark.prove
def test_two_hundred_thousand_calls_leave_no_more_memory_than_fifty_thousand() -> None:
    panel = load_panel(load_config())
    early = 0.0
    for first in range(0, CALLS, SLICE):
        numbers = range(first, first + SLICE)
        panel.score([
            Call(str(n), 0.0, "m", prompt=f"Ask {n}?", response=f"Say {n}.", contexts=("Doc.",))
            for n in numbers
        ])  # fmt: skip
        if first + SLICE == CALLS // 4:
            early = rss_mib()
    late = rss_mib()
    print(f"{early:.0f} MiB after {CALLS // 4:,} calls, {late:.0f} MiB after {CALLS:,}")  # noqa: T201 - the figure of the bar
    assert early > 0 and late < early + ALLOWED_MIB
