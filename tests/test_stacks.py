"""Rows read together say what they say one by one."""

import numpy as np
import pytest

from agent.packing import open_row, unpack_row
from agent.panes import Row
from agent.stacks import Stacks
from agent.summaries import Counts, LogHistogram
from agent.sums import merged


def rows(rng: np.random.Generator, n: int = 40) -> list[Row]:
    """Rows of different series, some empty, with negative ranges, zeros and large sums."""
    made = []
    for at in range(n):
        row = Row(calls=Counts({"ok": at, "error": at % 3}), panels=Counts({f"p{at % 2}": at}))
        keys = rng.integers(0, 2**63, 30).astype(np.uint64)
        row.bounded("score", 0, 1).update(rng.beta(5, 2, 30), keys)
        row.bounded("difference", -1, 1).update(rng.uniform(-1, 1, 30), keys)
        if at % 4 == 0:
            row.bounded("rare", 0, 1).update([1.0] * 300, np.zeros(300, np.uint64))
        row.bounded("score", 0, 1).missing.add("error" if at % 2 else "timeout", at)
        amounts = row.summaries.setdefault("latency", LogHistogram())
        assert isinstance(amounts, LogHistogram)
        amounts.update([0.0, 1e-3, 1e12, *rng.lognormal(0, 1, 20)][: at % 20])
        made.append(row)
    return [*made, Row()]


def test_the_sum_of_a_stack_is_the_sum_of_its_rows(rng: np.random.Generator) -> None:
    made = rows(rng)
    blobs = [row.to_bytes() for row in made]
    total = Row()
    for row in made:
        total.merge(row)
    assert merged(blobs) == merged(blobs[::-1]) == total.to_bytes()
    assert Stacks([open_row(blob) for blob in blobs]).summed().to_bytes() == total.to_bytes()
    assert merged([]) == Row().to_bytes()
    summaries, calls, panels = unpack_row(blobs[7])
    assert (summaries, calls, panels) == (made[7].summaries, made[7].calls, made[7].panels)


def test_counts_and_missing_values_stand_at_their_rows(rng: np.random.Generator) -> None:
    made = rows(rng)
    stacks = Stacks([open_row(row.to_bytes()) for row in made])
    for series in ("score", "difference", "rare"):
        wanted = [row.summaries.get(series) for row in made]
        table = stacks.counts(series)
        for at, one in enumerate(wanted):
            assert table[at].tolist() == ([0.0] * 257 if one is None else one.counts.tolist())  # type: ignore[union-attr]  # all are bounded
    assert stacks.missing("score", ("error",))[:4].tolist() == [0, 1, 0, 3]
    assert stacks.calls()[:4].tolist() == [0, 2, 4, 3]
    assert not stacks.counts("unknown").any()


@pytest.mark.parametrize("n", [255, 256, 65_536, 2**33])
def test_counts_of_every_width_come_back(n: int) -> None:
    row = Row()
    row.bounded("x", 0, 1).add([(0, n), (256, 1)], n + 1, 1 << 90, -(1 << 70))
    back = Row.from_bytes(row.to_bytes()).summaries["x"]
    assert back == row.summaries["x"] and back.total == 1 << 90 and back.total_sq == -(1 << 70)
    assert merged([row.to_bytes()]) == row.to_bytes()
    twice = Row().merge(row).merge(row)
    assert merged([row.to_bytes()] * 2) == twice.to_bytes()


def test_rows_of_other_ranges_do_not_merge() -> None:
    one, two, three = Row(), Row(), Row()
    one.bounded("x", 0, 1)
    two.bounded("x", -1, 1)
    three.summaries["x"] = LogHistogram()
    for other in (two, three):
        with pytest.raises(ValueError, match="range"):
            merged([one.to_bytes(), other.to_bytes()])


def test_the_total_of_a_flag_is_read_row_by_row_beside_sums_of_any_size(
    rng: np.random.Generator,
) -> None:
    made = rows(rng)  # every fourth has the flag "rare", and some sums that 64 bits do not hold
    opened = [open_row(row.to_bytes()) for row in made]
    assert {one.sums[:1] for one in opened} == {b"q", b"w"}
    totals = {
        int(place): int(total)
        for layer in Stacks(opened).layers
        if "rare" in layer.names
        for place, total in zip(layer.places, layer.totals(layer.names.index("rare")), strict=True)
    }
    assert totals == dict.fromkeys(range(0, 40, 4), 300)
