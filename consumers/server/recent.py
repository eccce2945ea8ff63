"""Call rows that were read before: of thousands that a page looks at, few are new."""

import threading

from agent.store import Transaction, calls
from agent.store.calls import CallRow

# What several windows of a page hold; one is some 4 kB.
_KEPT = 12_000


class Recent:
    """Calls by their keys, each read once while it is looked at; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[bytes, CallRow] = {}

    def newest(self, tx: Transaction, start: float, end: float, limit: int) -> list[CallRow]:
        """The newest calls that began within [start, end], so many at most, newest first."""
        keys = calls.newest_keys(tx, start, end, limit)
        with self._lock:
            held = {key: row for key in keys if (row := self._rows.get(key)) is not None}
        new = [at for key, at in keys.items() if key not in held]
        if new:  # they lie together, but for some that came late
            held |= calls.newest_rows(tx, min(new), max(new), limit)
        with self._lock:
            for key in keys:  # those of now are the last that go
                self._rows.pop(key, None)
            self._rows |= held
            for key in list(self._rows)[: max(0, len(self._rows) - _KEPT)]:
                del self._rows[key]
        return [held[key] for key in keys]
