"""What experiments keep: panels of scorers, what entered already, and the sums of each run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from agent.store.tables import entered, panels, runs
from agent.store.writes import insert_new, move_on


def enter_panel(tx: Connection, digest: str, versions: Mapping[str, str]) -> None:
    """Note which versions of metrics a panel's digest stands for."""
    body = json.dumps(dict(sorted(versions.items())))
    insert_new(tx, panels, [{"digest": digest, "versions": body}])


def all_panels(tx: Connection) -> dict[str, dict[str, str]]:
    """The versions of metrics by the digests of panels."""
    return {row.digest: json.loads(row.versions) for row in tx.execute(select(panels))}


def enter(tx: Connection, keys: Sequence[bytes], now: float) -> set[bytes]:
    """Enter keys, each once for ever; which of them are new."""
    wanted = sorted(set(keys))
    new = set(wanted) - known(tx, wanted)
    insert_new(tx, entered, [{"key": key, "stored_at": now} for key in sorted(new)])
    return new


def known(tx: Connection, keys: Sequence[bytes]) -> set[bytes]:
    """Which keys have entered."""
    found: set[bytes] = set()
    for at in range(0, len(keys), 500):
        query = select(entered.c.key).where(entered.c.key.in_(keys[at : at + 500]))
        found |= {bytes(key) for key in tx.scalars(query)}
    return found


@dataclass(frozen=True, slots=True)
class StoredRun:
    """The newest run of an experiment as it is stored; `version` guards its next change."""

    run: int
    version: int
    body: bytes


def load_run(tx: Connection, experiment: str) -> StoredRun | None:
    """The newest run of an experiment."""
    query = select(runs).where(runs.c.experiment == experiment).order_by(runs.c.run.desc())
    row = tx.execute(query.limit(1)).first()
    return None if row is None else StoredRun(row.run, row.version, bytes(row.body))


def save_run(
    tx: Connection, experiment: str, run: int, body: bytes, version: int, now: float
) -> bool:
    """Store a run that stood at `version` (0: nowhere) when it was read; whether it still did."""
    key = {"experiment": experiment, "run": run}
    return move_on(tx, runs, key, version, {"body": body, "stored_at": now})
