"""What `vedette findings` reads: findings and watched series, as plain data."""

from dataclasses import fields
from typing import Any

from agent.config import Config
from agent.findings import Finding
from agent.store import Store, examples, reads
from agent.store.findings import all_findings
from watch.keeping import series_rows
from watch.moved import moved

_PARTS = ("name", "facts")
# These stand in every row; what a name has besides is its kind's.
_NAME = dict.fromkeys(("service", "model", "variant", "segment", "metric", "version"), "")


def newest(store: Store, config: Config, limit: int) -> list[dict[str, Any]]:
    """The newest findings first; of what drifted and still rings also how far, of
    what is new the texts that are kept."""
    with store.reading() as tx:
        found, far = all_findings(tx, limit), dict[bytes, dict[str, Any]]()
        for source in reads.closed_times(tx) if config.drift is not None else ():
            far |= moved(tx, config, source)
        rows = [as_json(one, config.alerts.link) for one in found]
        for row in rows:
            if ids := row.get("examples"):
                row["texts"] = examples.texts_of(tx, row["metric"], ids)
    return [
        row | ({"distances": far[one.key]} if one.key in far else {})
        for row, one in zip(rows, found, strict=True)
    ]


def as_json(one: Finding, pages: str | None) -> dict[str, Any]:
    """As scripts read it, with a link where the address of the pages is known."""
    held = {part.name: getattr(one, part.name) for part in fields(one) if part.name not in _PARTS}
    told = _NAME | dict(one.name) | held | dict(one.facts)
    if one.kind == "drift":  # as they were called before there were other kinds
        told |= {"log_statistic": one.statistic, "log_threshold": one.threshold}
    told |= {"key": one.key.hex(), "link": link_of(one, pages)}
    return {key: None if value != value else value for key, value in told.items()}  # NaN


def link_of(one: Finding, pages: str | None) -> str | None:
    """The address of a finding on the page of findings."""
    return None if pages is None else f"{pages.rstrip('/')}/findings#{one.key.hex()}"


def watched(store: Store, config: Config) -> list[dict[str, Any]]:
    """Every series of every source, and whether it learns, is watched, rings, or has no
    slot or no value."""
    with store.reading() as tx:
        sources = sorted(reads.closed_times(tx))
        return [row for source in sources for row in series_rows(tx, config, source)]
