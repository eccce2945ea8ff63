"""Findings as others take them: Alertmanager's alerts, and changes on a topic."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from agent.alerts import Alerts
from agent.findings import Finding
from agent.store.findings import Kept
from consumers.findings import as_json, link_of
from consumers.labels import clean

# A sentence with its numbers and four names as long as a label may be.
SENTENCE_CHARS = 1000
_NUMBERS = ("statistic", "threshold", "effect", "lower", "upper")

Alert = dict[str, Any]


def alerts_of(rows: Iterable[Kept], alerts: Alerts) -> list[Alert]:
    """What rings or has rung, an alert for each set of labels: what is open covers what is over,
    and new covers old, because Alertmanager knows an alert by its labels alone."""
    found: dict[tuple[tuple[str, str], ...], Alert] = {}
    for one in sorted(rows, key=lambda one: (one.finding.state != "resolved", one.finding.began)):
        made = _alert(one, alerts)
        found[tuple(sorted(made["labels"].items()))] = made
    return list(found.values())


def change_of(kept: Kept, alerts: Alerts) -> bytes:
    """A finding as the alerts topic carries it: a row of `vedette findings --json`, its source."""
    return orjson.dumps(_cleaned(as_json(kept.finding, alerts.link) | {"source": kept.source}))


def _alert(kept: Kept, alerts: Alerts) -> Alert:
    one = kept.finding
    name = "".join(word.capitalize() for word in one.kind.split())
    labels = alerts.labels | dict(one.name) | {"source": kept.source}
    labels |= {"alertname": f"Vedette{name}", "severity": one.severity}
    made: Alert = {
        "labels": {key: clean(value) for key, value in labels.items()},
        "annotations": _annotations(one),
        "startsAt": _moment(one.began),
    }
    if one.state == "resolved":
        made["endsAt"] = _moment(one.as_of)
    if alerts.link is not None:
        made["generatorURL"] = link_of(one, alerts.link)
    return made


def _annotations(one: Finding) -> dict[str, str]:
    numbers = {part: getattr(one, part) for part in _NUMBERS}
    known = {part: f"{n:.6g}" for part, n in numbers.items() if not math.isnan(n)}
    told = {"state": one.state, "n": f"{one.n}"} | known
    # Examples of calls, which are lists, stay in the store.
    facts = {key: n for key, n in one.facts if isinstance(n, str | float | int)}
    plain = {key: f"{n:.6g}" if isinstance(n, float) else str(n) for key, n in facts.items()}
    listed = ", ".join(f"{key} {value}" for key, value in (told | plain).items())
    said = {"summary": one.summary, "description": f"{one.summary}. {listed}"}
    return {key: clean(value, 2 * SENTENCE_CHARS) for key, value in (said | told).items()}


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cleaned(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(one) for one in value]
    return clean(value, SENTENCE_CHARS) if isinstance(value, str) else value


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
