"""What is taken in is on the disk, in order and together, or its client is told that it is not."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from agent.errors import BadConfig, StoreDown
from agent.store import Store, open_store, positions, writes
from agent.store.positions import Waits
from agent.store.tables import inbox
from consumers.server.process import sink_of, store_of
from consumers.server.sinks import Batch, InboxSink, Shut
from tests.serving import served, told


class Counted:
    """A store that remembers how its transactions were asked for."""

    def __init__(self, store: Store) -> None:
        self._store, self.asked = store, list[dict[str, Any]]()

    @contextmanager
    def transaction(self, **how: Any) -> Iterator[Any]:
        self.asked.append(how)
        with self._store.transaction(**how) as tx:
            yield tx


def batch(n: int) -> Batch:
    return Batch("native", float(n), [(b"k", b"%d" % i) for i in range(n)])


def test_clients_that_wait_share_one_durable_commit(tmp_path: Path, store: Store) -> None:
    counted: Any = Counted(store)
    sink = InboxSink(counted, told(tmp_path).server)

    async def together() -> None:
        with store.transaction():  # somebody else writes meanwhile
            first = asyncio.create_task(sink.put(batch(1)))
            while not counted.asked:
                await asyncio.sleep(0.001)
            rest = [asyncio.create_task(sink.put(batch(2))) for _ in range(20)]
            await asyncio.sleep(0.05)
            assert not any(task.done() for task in (first, *rest))
        await asyncio.gather(first, *rest)

    asyncio.run(together())
    assert counted.asked == [{"durable": True}] * 2
    with store.reading() as tx:
        assert tx.scalar(select(func.count()).select_from(inbox)) == 41
    sink.close()
    with pytest.raises(StoreDown, match="ending"):
        asyncio.run(sink.put(batch(1)))


def test_a_durable_transaction_is_synchronised_and_the_next_is_not(store: Store) -> None:
    for durable, level in ((False, 1), (True, 2), (False, 1)):
        with store.transaction(durable=durable) as tx:
            assert tx.scalar(text("PRAGMA synchronous")) == level


def test_what_could_not_be_stored_is_not_acknowledged(tmp_path: Path) -> None:
    config = told(tmp_path)
    away = open_store(f"sqlite:///{tmp_path}/away.db")
    with away.transaction() as tx:
        tx.execute(text("DROP TABLE inbox"))
    sink = InboxSink(away, config.server)
    with closing(away), served(config, sink=sink) as client:
        for path in ("/ingest", "/v1/logs"):
            said = {"Content-Type": "application/json"}
            answer = client.post(path, content=b'{"resourceLogs": []}', headers=said)
            assert answer.status_code == 503 and answer.headers["retry-after"] == "1"


def test_the_inbox_commits_in_the_order_of_its_offsets(any_store: Store) -> None:
    def later() -> None:
        with any_store.transaction() as tx:
            writes.append_inbox(tx, [(2.0, b"second", None)])

    thread = threading.Thread(target=later)
    with any_store.transaction() as tx:
        writes.append_inbox(tx, [(1.0, b"first", "native")])
        thread.start()
        thread.join(0.3)
        assert thread.is_alive(), "a higher offset was committed before a lower one"
    thread.join()
    with any_store.reading() as tx:
        rows = positions.read_inbox(tx, 1, 9)
        assert positions.inbox_waits(tx) == Waits(2, 11)
    assert [(row.value, row.format) for row in rows] == [(b"first", "native"), (b"second", None)]


def test_a_batch_of_the_inbox_is_bounded_by_bytes_and_never_empty(any_store: Store) -> None:
    with any_store.transaction() as tx:
        assert positions.inbox_waits(tx) == Waits()
        writes.append_inbox(tx, [(0.0, b"x" * size, None) for size in (50, 5, 5, 5)])
        for after, held in ((1, 1), (2, 2), (4, 1), (5, 0)):
            assert len(positions.read_inbox(tx, after, 9, 10)) == held
        assert len(positions.read_inbox(tx, 2, 1, 100)) == 1


def test_what_waits_is_known_by_its_first_and_its_last_row(any_store: Store) -> None:
    with any_store.transaction() as tx:
        writes.append_inbox(tx, [(0.0, b"x" * size, None) for size in (50, 5, 0, 5)])
        assert positions.inbox_waits(tx) == Waits(4, 60)
        positions.trim_inbox(tx, 2)
        assert positions.inbox_waits(tx) == Waits(3, 10)
        writes.append_inbox(tx, [(0.0, b"12345", None)])
        assert positions.inbox_waits(tx) == Waits(4, 15)
        tx.execute(update(inbox).where(inbox.c.id < 5).values(through=None))  # an older version's
        assert positions.inbox_waits(tx) == Waits(4, 65)
        tx.execute(update(inbox).where(inbox.c.id < 9).values(through=None))
        assert positions.inbox_waits(tx) == Waits(4, 0)


def test_beside_a_writer_there_are_pages_only(tmp_path: Path) -> None:
    config = told(tmp_path)
    with closing(open_store(config.store.url.get_secret_value())):
        store, busy = store_of(config)
        with closing(store):
            sink = sink_of(config, store, busy)
            with pytest.raises(StoreDown, match=r"another process is writing to v\.db: pages only"):
                sink.check()
            assert isinstance(sink, Shut)
        # A log that is followed would wait for good, and nobody would know.
        with pytest.raises(BadConfig, match=r"another process is writing to v\.db"):
            store_of(config, alone=True)
