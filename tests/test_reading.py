"""What may be committed of the requests topic: nothing that is still in work."""

from functools import partial

from shadow.reading import Reading


def test_records_are_acknowledged_in_their_order_whatever_is_over_first() -> None:
    reading, acked = Reading(), list[int]()
    ends = [reading.begin(0, offset, partial(acked.append, offset)) for offset in range(10, 14)]
    other = reading.begin(1, 7, partial(acked.append, 7))
    ends[1]()
    ends[3]()
    assert acked == []
    other()
    ends[0]()
    assert acked == [7, 10, 11]
    ends[0]()
    ends[2]()
    ends[2]()
    assert acked == [7, 10, 11, 12, 13]


def test_what_another_has_is_acknowledged_by_it_alone() -> None:
    reading, acked = Reading(), list[int]()
    reading.gained([0, 1])
    before = [reading.begin(0, offset, partial(acked.append, offset)) for offset in (5, 6)]
    assert reading.reached() == {0: 7, 1: 0}
    before[0]()
    reading.lost([0])
    assert reading.reached() == {1: 0}
    reading.gained([0])
    again = reading.begin(0, 6, partial(acked.append, 66))
    before[1]()
    assert acked == [5] and reading.reached() == {0: 7, 1: 0}
    again()
    assert acked == [5, 66]
