"""What `vedette findings` reads: findings and watched series, as plain data."""

from typing import Any

from agent.config import Config
from agent.store import open_store, reads, watches
from watch.keeping import series_rows


def newest(config: Config, limit: int) -> list[dict[str, Any]]:
    """The newest findings first."""
    store = open_store(config.store.url.get_secret_value(), writer=False)
    try:
        with store.transaction() as tx:
            return watches.all_findings(tx, limit)
    finally:
        store.close()


def watched(config: Config) -> list[dict[str, Any]]:
    """Every series of every source, and whether it learns, is watched, rings or has no slot."""
    store = open_store(config.store.url.get_secret_value(), writer=False)
    try:
        with store.transaction() as tx:
            sources = sorted(reads.closed_times(tx))
            return [row for source in sources for row in series_rows(tx, config, source)]
    finally:
        store.close()
