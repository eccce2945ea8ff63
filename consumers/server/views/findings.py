"""What was found: each with its evidence against time, its effect, when it began, and examples."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.catalog import is_flag
from agent.findings import Finding, Kind, State
from agent.store import Transaction, board, examples
from agent.store.findings import Kept, current_findings
from consumers.findings import as_json
from consumers.server.plots import Curve, Figure, Mark, known
from consumers.server.printing import View
from consumers.server.sheet import Sheet
from consumers.server.stock import Stock
from consumers.server.views.rings import About
from watch.series import WHOLE

# Of so many of the newest the filters choose.
_READ = 1000
_ORDER: tuple[State, ...] = ("firing", "pending", "could not tell", "insufficient data", "resolved")


class Asked(BaseModel):
    """What may be asked of the page."""

    model_config = ConfigDict(extra="ignore")
    state: State | Literal[""] = ""
    kind: Kind | Literal[""] = ""
    service: str = Field(default="", max_length=256)
    model: str = Field(default="", max_length=256, description="What is of it, or of all models.")
    metric: str = Field(default="", max_length=64)
    key: str = Field(default="", max_length=64, description="One finding, by its key.")
    limit: int = Field(default=20, ge=1, le=200, description="What is open first, then the newest.")


@dataclass(frozen=True, slots=True)
class Example:
    """A call that shows it; its redacted text where that is kept."""

    id: str
    text: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """One finding, of a metric's mean where `view` is "". `before` and `now` are means, `unit` is
    theirs; the effect and its interval are in the same unit. Times are epoch seconds; `statistic`
    rings from `threshold` on."""

    key: str
    source: str
    kind: str
    state: str
    severity: str
    service: str
    model: str
    variant: str
    about: str
    experiment: str
    metric: str
    view: str
    summary: str
    began: int
    onset: int
    as_of: int
    n: int
    statistic: float | None
    threshold: float | None
    unit: str
    before: float | None
    now: float | None
    effect: float | None
    lower: float | None
    upper: float | None
    facts: dict[str, Any]
    deploys: tuple[str, ...]
    words: tuple[str, ...]
    examples: tuple[Example, ...]
    evidence: Figure | None


@dataclass(frozen=True, slots=True)
class Findings:
    """The page; `more` are those that the filters let through beyond the limit."""

    findings: tuple[Found, ...]
    more: int
    services: tuple[str, ...]


def read(stock: Stock, tx: Transaction, asked: Asked) -> Findings:
    """The page's numbers."""
    kept = current_findings(tx, stock.clock(), 0.0, _READ)
    kept.sort(key=lambda one: _ORDER.index(one.finding.state))
    about = About(asked.service, asked.model, asked.metric)
    wanted = [
        one
        for one in kept
        if _is_asked(one.finding, asked) and about.holds(dict(one.finding.name), stock.config.slo)
    ]
    services = sorted({dict(one.finding.name).get("service", "") for one in kept} - {""})
    made = tuple(_found(stock, tx, one) for one in wanted[: asked.limit])
    return Findings(made, max(0, len(wanted) - asked.limit), tuple(services))


def _is_asked(one: Finding, asked: Asked) -> bool:
    return (
        asked.state in ("", one.state)
        and asked.kind in ("", one.kind)
        and asked.key in ("", one.key.hex())
    )


def _metric(name: dict[str, str]) -> str:
    return name.get("metric") or (f"slo_{name['objective']}" if "objective" in name else "")


def _found(stock: Stock, tx: Transaction, kept: Kept) -> Found:
    one, held, facts = kept.finding, dict(kept.finding.name), dict(kept.finding.facts)
    row = as_json(one, None)
    before = facts.get("baseline_mean", facts.get("others_mean"))
    ids = tuple(facts.get("examples", ()))
    texts = examples.texts_of(tx, held.get("metric", ""), ids) if ids else {}
    effect = row["effect"]
    return Found(
        one.key.hex(), kept.source, one.kind, one.state, one.severity, held.get("service", ""),
        held.get("model", ""), held.get("variant", ""), _about(held),
        held.get("experiment", ""), _metric(held), held.get("view", ""), one.summary,
        one.began, facts.get("onset", one.began), one.as_of, one.n, row["statistic"],
        row["threshold"],
        _unit(one, held), _known(before), None if effect is None else _sum(before, effect),
        effect, row["lower"], row["upper"],
        {name: _known(value) for name, value in facts.items()},
        tuple(facts.get("deploys", ())), tuple(facts.get("words", ())),
        tuple(Example(call, texts.get(call)) for call in ids), _evidence(stock, tx, kept),
    )  # fmt: skip


def _known(value: Any) -> Any:
    return None if value != value else value


def _sum(before: float | None, effect: float) -> float | None:
    return None if before is None or before != before else before + effect


def _unit(one: Finding, held: dict[str, str]) -> str:
    counted = held.get("view") in ("tail", "missing", "share") or is_flag(held.get("metric", ""))
    if one.kind == "burn rate" or counted:
        return "share"
    return "ratio"


def _about(held: dict[str, str]) -> str:
    """Whom a finding is about, as a title says it."""
    parts = [held[part] for part in ("service", "model", "variant", "segment", "experiment", "arm")
             if held.get(part) and held[part] != WHOLE]  # fmt: skip
    return " / ".join(parts)


def _evidence(stock: Stock, tx: Transaction, kept: Kept) -> Figure | None:
    one = kept.finding
    if one.kind not in ("drift", "burn rate"):
        return None
    found = stock.memory.trace(tx, stock.config, kept)
    if found is None:
        return None
    title, unit = "Evidence (nats)", "nats"
    if one.kind == "burn rate":
        title, unit = "Burn rate (1: the budget lasts its period)", ""
    # What is kept of evidence holds until the next call comes.
    gaps = (later - at for at, later in itertools.pairwise(found.at))
    step_s = max(gaps, default=found.step_s) if one.kind == "drift" else found.step_s
    marks = tuple(_marks(one))
    curves = (Curve(_named(name, one), known(some)) for name, some in found.values.items())
    level = Mark(one.threshold, "rings from here on")
    return Figure(title, unit, found.at, step_s, tuple(curves), level=level, marks=marks)


def _named(name: str, one: Finding) -> str:
    return f"over {name}" if one.kind == "burn rate" else name


def _marks(one: Finding) -> Iterator[Mark]:
    onset = dict(one.facts).get("onset")
    if onset is not None and one.began > onset:
        yield Mark(float(onset), "began")
    yield Mark(float(one.began), "rang")


FINDINGS = View(
    "findings", "Findings", "What left its baseline, spends its budget or differs, with evidence.",
    Asked, Findings, read,
    Sheet(Found, lambda found: found.findings, frozenset({"examples", "evidence"})), board.stamp,
)  # fmt: skip
