"""Burn rates as the store keeps them: caught up with the closed panes, minute by minute.

A minute's end is looked at once, and what is found is the same in whatever parts it was closed.
"""

from agent.config import Config
from agent.errors import StoreDown
from agent.findings import Finding
from agent.panes import HOUR_S, MINUTE_S
from agent.sla import targeted
from agent.store import Transaction, reads, watches
from agent.store.findings import open_findings, put_findings
from watch.ring import Ring
from watch.spending import KIND, look

# Where older minutes are gone the first look is where the longest window by minutes is whole.
_LESSON_S = 6 * HOUR_S
# After so long it is filled anew.
_AGAIN_S = 6 * HOUR_S


def ring_of(config: Config) -> Ring:
    """An empty ring for the objectives that have a target."""
    return Ring(targeted(config.slo))


def keep_burn(tx: Transaction, source: str, now: float, ring: Ring) -> list[Finding] | None:
    """See the minutes of a source that were closed since the last look, of one hour at most; the
    findings whose state changed, None when nothing was left to see.

    Raises StoreDown when another process did so meanwhile. After any error, and where the
    transaction is not committed, the ring is to be thrown away.
    """
    through = _through(tx, source)
    if not ring.end and not _begin(tx, source, ring):
        return None
    if through > ring.end and ring.idle:
        _skip(tx, source, ring, through)
    if through <= ring.end:
        return None
    begin, until = ring.end, min(through, ring.end // HOUR_S * HOUR_S + HOUR_S)
    ring.push(until, reads.service_panes(tx, source, MINUTE_S, begin, until))
    before = {(one.key, one.state) for one in ring.known.values()}
    found = look(ring, (until - begin) // MINUTE_S)
    put_findings(tx, source, found, now)
    if not watches.save_watch(tx, _key(source), 0, str(until).encode(), ring.version, now):
        raise StoreDown(f"the budgets of {source} were moved on by another process", 0.1)
    ring.version += 1
    return [one for one in found if (one.key, one.state) not in before]


def read_ring(
    tx: Transaction, config: Config, source: str, ring: Ring | None = None
) -> Ring | None:
    """A ring at the last closed minute of a source, where it can one that was read before; None
    where the source has no closed pane."""
    through = _through(tx, source)
    if ring is None or not through - _AGAIN_S <= ring.end <= through:
        if reads.first_of_level(tx, source, MINUTE_S) is None:
            return None
        ring = ring_of(config)
        _fill(tx, source, ring, through)
    while ring.end < through:
        begin, until = ring.end, min(through, ring.end // HOUR_S * HOUR_S + HOUR_S)
        ring.push(until, reads.service_panes(tx, source, MINUTE_S, begin, until))
    return ring


def _through(tx: Transaction, source: str) -> int:
    return int(reads.closed_times(tx).get(source, 0.0) // MINUTE_S * MINUTE_S)


def _begin(tx: Transaction, source: str, ring: Ring) -> bool:
    """Take up where the last look was; at the first of all, where the minutes begin."""
    stored = watches.load_watch(tx, _key(source))
    if stored is not None:
        ring.version, end = stored.version, int(stored.body)
    else:
        first = reads.first_of_level(tx, source, MINUTE_S)
        if first is None:
            return False
        hour = reads.first_of_level(tx, source, HOUR_S)
        pruned = hour is not None and hour < first // HOUR_S * HOUR_S
        end = first + _LESSON_S if pruned else first
    _fill(tx, source, ring, end)
    ring.known = {one.name: one for one in open_findings(tx, source, KIND)}
    return True


def _skip(tx: Transaction, source: str, ring: Ring, through: int) -> None:
    """Pass over days without a call."""
    first = reads.first_of_level(tx, source, MINUTE_S, ring.end)
    end = through if first is None else min(through, first)
    if end - ring.end > HOUR_S:
        _fill(tx, source, ring, end // HOUR_S * HOUR_S)


def _fill(tx: Transaction, source: str, ring: Ring, end: int) -> None:
    ring.end = end
    first, hour = ring.begins
    minutes = reads.service_panes(tx, source, MINUTE_S, first, end)
    ring.fill(minutes, reads.service_panes(tx, source, HOUR_S, hour, ring.hour))


def _key(source: str) -> str:
    """Where the minute that was reached is kept: with the watches, of which it takes no slot."""
    return f"slo {source}"
