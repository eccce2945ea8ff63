"""What a compliance check found."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Outcome = Literal["pass", "fail", "could not tell"]
# So many ids or places are named; the rest is a number.
NAMED = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One check, what came of it, and the facts that say so: counts, ids and places, no texts."""

    check: str
    verdict: Outcome
    evidence: tuple[str, ...]


def some_of(names: Sequence[str]) -> str:
    """A few names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def as_rows(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings as plain data."""
    return [asdict(one) for one in findings]


def failed(findings: Sequence[Finding]) -> bool:
    """Whether a check failed; what could not be told is no failure."""
    return any(one.verdict == "fail" for one in findings)
