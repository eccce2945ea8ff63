"""How SQLite keeps what is being written."""

import sqlite3
import time
from typing import Any


def write_ahead(connection: Any, wait_s: float) -> None:
    """Several may ask for the log of a new file at once, and SQLite lets none of them wait."""
    until = time.monotonic() + wait_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
