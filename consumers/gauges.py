"""What only the process that closes panes says: experiments, drift, and every finding."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

from abtest.verdict import INVALID
from agent.exposed import SERIES
from agent.findings import Finding
from consumers.labels import Labels
from consumers.metrics import Tally

VERDICTS = ("better", "worse", "equivalent", "not_worse", "not_yet", "invalid")
_OURS = tuple(
    f"vedette_{part}_" for part in ("drift", "experiment", "finding", "ledger", "slo", "store")
)
_TICKETS = "vedette_shadow_tickets"
_FINDINGS = tuple(row.name for row in SERIES if row.name.startswith("vedette_finding_"))
# Six numbers each: 1,200 series.
_SHOWN_MAX = 200
# Parts of a name that have a label of their own; `objective` is a metric.
_PLACES = {"service": 0, "model": 1, "variant": 2, "metric": 4, "objective": 4}
# A changed scorer is a new series of the same labels.
_HIDDEN = ("version",)


class Gauges:
    """The gauges of the one closer, on the page of its process."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def contrast(
        self,
        names: tuple[str, str, str],
        bounds: Mapping[str, float],
        evidence: float,
        verdict: str,
    ) -> None:
        """Show what an experiment says of a candidate (experiment, arm, metric)."""
        effects = [
            ("vedette_experiment_effect_ratio", (*names, bound), n) for bound, n in bounds.items()
        ]
        words = [
            ("vedette_experiment_verdict", (*names, word), float(word == verdict))
            for word in VERDICTS
        ]
        self._tally.show_all(
            [*effects, ("vedette_experiment_evidence_nats", names, evidence), *words]
        )

    def events(self, experiment: str, arm: str, n: int) -> None:
        """Show how many events an arm of an experiment counts."""
        self._tally.show("vedette_experiment_events", (experiment, arm), n)

    def invalid(self, experiment: str, reasons: Collection[str]) -> None:
        """Show why nothing may be concluded from an experiment; `reasons` are words of INVALID."""
        for reason in INVALID:
            labels = experiment, reason
            self._tally.show("vedette_experiment_invalid", labels, reason in reasons)

    def ledger_gap(self, n: int) -> None:
        """Show what is missing between what was received and its ends."""
        self._tally.show("vedette_ledger_gap_calls", (), n)

    def tickets(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Show how many tickets of each candidate are in each state, and no others."""
        self._tally.show_all(((_TICKETS, key, n) for key, n in counts.items()), only=[_TICKETS])

    def filled(self, parts: Mapping[str, float]) -> None:
        """Show how much of the bytes that a part of the store may take is taken."""
        for part, taken in parts.items():
            self._tally.show("vedette_store_filled_ratio", (part,), taken)

    def drift(self, labels: Labels, firing: bool) -> None:
        """Show whether a series (service, model, variant, segment, metric) left its baseline."""
        self._tally.show("vedette_drift_firing", labels, firing)

    def findings(self, found: Sequence[Finding]) -> None:
        """Show these findings and no other; of two with the same labels the first."""
        rows = (row for one in found[:_SHOWN_MAX] for row in _rows(one))
        self._tally.show_all(rows, only=_FINDINGS)

    def resign(self) -> None:
        """Show nothing any more: another process closes panes now."""
        ours = [row.name for row in SERIES if row.name.startswith((*_OURS, _TICKETS))]
        self._tally.show_all((), only=ours)


def labels_of(one: Finding) -> Labels:
    """kind, service, model, variant, segment, metric: what has no label of its own (a window,
    an experiment) stands in `segment`, so that two findings do not meet in one."""
    parts: list[list[str]] = [[], [], [], [], []]
    for part, value in one.name:
        if value and part not in _HIDDEN:
            parts[_PLACES.get(part, 3)].append(value)
    return one.kind.replace(" ", "_"), *(" ".join(some) for some in parts)


def _rows(one: Finding) -> Iterator[tuple[str, Labels, float]]:
    labels = labels_of(one)
    yield "vedette_finding_state", (*labels, one.state.replace(" ", "_")), 1.0
    effects = {"estimate": one.effect, "lower": one.lower, "upper": one.upper}
    numbers = [
        ("vedette_finding_statistic", labels, one.statistic),
        ("vedette_finding_threshold", labels, one.threshold),
        *(("vedette_finding_effect", (*labels, bound), n) for bound, n in effects.items()),
    ]
    yield from (row for row in numbers if not math.isnan(row[2]))
