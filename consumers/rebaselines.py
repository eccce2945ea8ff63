"""What `vedette rebaseline` does: decisions about baselines, as plain data."""

from contextlib import closing
from typing import Any

from agent.config import Config
from agent.errors import BadConfig
from agent.store import open_store, reads, watches
from consumers.readouts import open_reader
from watch.rebaseline import Decision, rebaseline


def decide(config: Config, decision: Decision, now: float) -> dict[str, Any]:
    """Carry a decision out over all sources; raises BadConfig where no series is meant."""
    url = config.store.url.get_secret_value()
    with closing(open_store(url)) as store, store.transaction() as tx:
        sources = sorted(reads.closed_times(tx))
        made = {one: rebaseline(tx, config, one, decision, now) for one in sources}
    made = {source: body for source, body in made.items() if body["series"]}
    if not made:
        wanted = ", ".join(f"{key} {value}" for key, value in decision.wanted.items())
        raise BadConfig("rebaseline", f"no series of {wanted or 'any source'} is watched")
    return made


def decided(config: Config) -> list[dict[str, Any]]:
    """Every decision so far, newest first."""
    with closing(open_reader(config)) as store, store.transaction() as tx:
        return watches.all_rebaselines(tx)
