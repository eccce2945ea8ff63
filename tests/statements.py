"""What a store sends to its database, heard by a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from agent.store import Store


@contextmanager
def heard(store: Store) -> Iterator[list[str]]:
    """The statements that are sent within the block, in order."""
    sent: list[str] = []

    def hear(_: Any, __: Any, statement: str, *___: Any) -> None:
        sent.append(statement)

    event.listen(store._engine, "before_cursor_execute", hear)
    try:
        yield sent
    finally:
        event.remove(store._engine, "before_cursor_execute", hear)
