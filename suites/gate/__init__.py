"""The gate: whether a run is good enough to go on, rule by rule.

A rule names a score: a metric (`number_match`), a metric of one task (`sums/number_match`), a
dimension (`quality`), `overall`, or a measure of the run. Safety scores with a threshold are judged
as the share of answers that are flagged.

A rule judges the mean, and says when the interval straddles the bar; `by: lower` (or `interval`)
judges the end of the interval that is worse. What is missing never helps: a score that should be
there and is not counts as the worst one, and a rule without any value is broken.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from agent.tree import Tree

_Share = Annotated[str, StringConstraints(pattern=r"^\d{1,3}(\.\d+)? ?%$")]


class NotWorse(Tree):
    """Not worse than another target, or than the same one in an earlier run, by more than a margin:
    the whole paired interval of the difference lies above -margin."""

    # A target of this run; without one, the same target in the run that is compared with.
    than: str | None = None
    # In the unit of the score, or as a share of the other's mean ("10%").
    by: Annotated[float, Field(ge=0)] | _Share

    @property
    def relative(self) -> float | None:
        """The margin as a share of the other's mean; None where it has the unit of the score."""
        return float(self.by.rstrip("% ")) / 100 if isinstance(self.by, str) else None


class Rule(Tree):
    """What one score must be."""

    at_least: float | None = None
    at_most: float | None = None
    by: Literal["mean", "lower", "upper", "interval"] = "mean"
    not_worse: NotWorse | None = None
    # The targets that it judges; without any, all but the one that they must not be worse than.
    targets: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _asks_something(self) -> "Rule":
        if self.at_least is None and self.at_most is None and self.not_worse is None:
            raise ValueError("needs at_least, at_most or not_worse")
        wrong = {"lower": self.at_most, "upper": self.at_least}.get(self.by)
        if wrong is not None:
            raise ValueError(f"by: {self.by} would judge at the better end; by: interval does not")
        return self


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one rule for one target, in one line for people.

    `doubt`: the interval straddles the bar, so that another run may come out otherwise.
    """

    target: str
    score: str
    rule: str
    passed: bool
    said: str
    doubt: bool = False
