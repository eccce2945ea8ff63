"""What `vedette findings` reads: findings and watched series, as plain data."""

from typing import Any

from agent.config import Config
from agent.store import Store, reads, watches
from watch.keeping import series_rows


def newest(store: Store, limit: int) -> list[dict[str, Any]]:
    """The newest findings first."""
    with store.transaction() as tx:
        return watches.all_findings(tx, limit)


def watched(store: Store, config: Config) -> list[dict[str, Any]]:
    """Every series of every source, and whether it learns, is watched, rings, or has no
    slot or no value."""
    with store.transaction() as tx:
        sources = sorted(reads.closed_times(tx))
        return [row for source in sources for row in series_rows(tx, config, source)]
