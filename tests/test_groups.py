"""Groups of panes beyond their cap."""

from agent.panes import Group, PaneBook, RowKey, place


def test_a_segment_beyond_the_cap_is_not_counted_among_the_models() -> None:
    book = PaneBook(groups_max=2)
    keys = [
        [RowKey(0, Group("s", "m", "v")), RowKey(0, Group("s", "m", "v", f"tenant={at}"))]
        for at in range(5)
    ]
    place(book, keys, ["ok"] * 5)
    counted = {key.group: row.calls.total() for key, row in book.take_dirty()}
    assert counted == {
        Group("s", "m", "v"): 5,
        Group("s", "m", "v", "tenant=0"): 1,
        Group("s", "other", "v", "tenant=other"): 4,
    }
    assert sum(n for group, n in counted.items() if not group.segment) == 5


def test_a_model_beyond_the_cap_is_another() -> None:
    assert Group("s", "m", "v").beyond == Group("s", "other", "v")
    assert Group("s", "m", "v", "tenant=").beyond == Group("s", "other", "v", "tenant=other")
