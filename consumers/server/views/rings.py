"""What rings, as the front page tells it: the most severe first, each in a sentence."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.sla import Objective
from agent.store import Transaction
from agent.store.findings import all_findings
from watch.series import WHOLE

# So many of the newest are read.
_READ = 500


@dataclass(frozen=True, slots=True)
class Ringing:
    """A finding that rings, in a sentence."""

    key: str
    kind: str
    severity: str
    summary: str
    began: int


@dataclass(frozen=True, slots=True)
class About:
    """What a page is about; "" is all."""

    service: str = ""
    model: str = ""
    metric: str = ""

    def holds(self, name: Mapping[str, str], slo: Mapping[str, Objective]) -> bool:
        """Whether a finding of this name is about it; one of a service as a whole, or of a part of
        it, is about its models too."""
        models = ("", WHOLE, self.model)
        return (
            (not self.service or name.get("service", "") in ("", self.service))
            and (not self.model or name.get("model", "") in models)
            and (not self.metric or self.metric in _metrics(name, slo))
        )


def rings(tx: Transaction, about: About, slo: Mapping[str, Objective]) -> Iterator[Ringing]:
    """What rings of it, the critical before the others, the newest first."""
    found = all_findings(tx, _READ, state="firing")
    for one in sorted(found, key=lambda one: one.severity != "critical"):
        if about.holds(dict(one.name), slo):
            yield Ringing(one.key.hex(), one.kind, one.severity, one.summary, one.began)


def _metrics(name: Mapping[str, str], slo: Mapping[str, Objective]) -> set[str]:
    """The metrics that a finding is about: a burn rate is about what its objective asks."""
    if "objective" not in name:
        return {name.get("metric", "")}
    asked = slo.get(name["objective"])
    return {f"slo_{name['objective']}"} | ({asked.metric} if asked is not None else set())
