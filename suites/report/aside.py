"""What is said of a run beside its figures: how its judge did, and what compliance checks found."""

from dataclasses import dataclass

from suites.compliance.finding import Finding
from suites.judge.readings import Reading


@dataclass(frozen=True, slots=True)
class Aside:
    """`rejected` counts by reason the rows of people's labels that are none."""

    readings: tuple[Reading, ...] = ()
    rejected: tuple[tuple[str, int], ...] = ()
    findings: tuple[Finding, ...] = ()
