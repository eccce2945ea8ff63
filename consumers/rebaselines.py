"""What `vedette rebaseline` does: decisions about baselines, as plain data."""

from contextlib import closing
from typing import Any

from agent.config import Config
from agent.errors import BadConfig
from agent.experiments import instant
from agent.store import Store, reads, watches
from consumers.stores import open_reader
from watch.rebaseline import Decision, Period, rebaseline


def decide(store: Store, config: Config, decision: Decision, now: float) -> dict[str, Any]:
    """Carry a decision out over all sources; raises BadConfig where no series is meant."""
    with store.transaction() as tx:
        sources = sorted(reads.closed_times(tx))
        made = {one: rebaseline(tx, config, one, decision, now) for one in sources}
    made = {source: body for source, body in made.items() if body["series"]}
    if not made:
        wanted = ", ".join(f"{key} {value}" for key, value in decision.wanted.items())
        raise BadConfig("rebaseline", f"no series of {wanted or 'any source'} is watched")
    return made


def decided(config: Config) -> list[dict[str, Any]]:
    """Every decision so far, newest first."""
    with closing(open_reader(config)) as store, store.reading() as tx:
        return watches.all_rebaselines(tx)


def period_of(
    source: str, start: str | None, end: str | None, names: tuple[str, str]
) -> Period | None:
    """The period between two ISO 8601 times, None without any; BadConfig goes under their names."""
    if start is None and end is None:
        return None
    times = []
    for name, given in zip(names, (start, end), strict=True):
        try:
            times.append(float(instant(given)))
        except (ValueError, TypeError):
            raise BadConfig(name, f"{given} is no ISO 8601 time") from None
    if times[0] >= times[1]:
        raise BadConfig(names[1], f"does not come after {names[0]}")
    return Period(source, *times)
