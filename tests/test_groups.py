"""Groups of panes: beyond their cap, and by a segment that no record names."""

from agent.config import load_config
from agent.panes import Group, PaneBook, RowKey, place
from agent.score import Panel
from agent.store import Store, reads
from consumers.metrics import LABEL_OVERFLOW
from consumers.recorder import Recorder, instruments
from tests.road import InboxRoad, as_bytes, native


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


def test_groups_beyond_the_cap_of_a_pane_are_told(store: Store) -> None:
    config = load_config(panes={"groups_max": 2})
    way = InboxRoad(store, config, Panel([]))
    tally, health = instruments(config)
    recorder = Recorder(config, store, (tally, health))
    way.listener.flushed = recorder.flushed  # type: ignore[method-assign]  # beside its own
    way.inbox.append(as_bytes(native(at, at=1_767_225_600, service=f"s{at}") for at in range(5)))
    way.drain()
    assert tally.total(LABEL_OVERFLOW) == 3
    recorder.close()


def test_a_model_beyond_the_cap_is_another() -> None:
    assert Group("s", "m", "v").beyond == Group("s", "other", "v")
    assert Group("s", "m", "v", "tenant=").beyond == Group("s", "other", "v", "tenant=other")


def test_the_language_of_a_prompt_is_a_segment_where_it_is_declared(store: Store) -> None:
    said = {
        "a": ("How do I return a pair of shoes that I bought last week?", {}),
        "b": ("Wie kann ich ein Paar Schuhe zurückgeben, das ich gekauft habe?", {}),
        "c": ("Wie kann ich ein Paar Schuhe zurückgeben, das ich gekauft habe?", {"language": "x"}),
        "d": ("ok", {}),
    }
    records = [
        {"id": key, "at": 1_767_225_600, "model": "m", "prompt": prompt, "segment": segment}
        for key, (prompt, segment) in said.items()
    ]
    config = load_config(segments=("language",), models=False, inbox={"source": "backfill"})
    road = InboxRoad(store, config, Panel([]))
    road.inbox.append(as_bytes(records))
    road.drain()
    road.worker.finish("backfill")
    with store.transaction() as tx:
        rows = reads.pane_rows(tx, 0, 4e9, 10)
    assert {group.segment: row.calls.total() for _, _, group, row in rows} == {
        "": 4, "language=en": 1, "language=de": 1, "language=x": 1,
    }  # fmt: skip
