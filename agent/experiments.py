"""What an experiment compares, as the configuration defines it."""

import itertools
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from agent.buckets import event_key
from agent.catalog import BY_NAME
from agent.tree import Tree

Design = Literal["split", "paired", "aa", "observational"]
SHADOW, PAIRED, PROBE = "shadow:", "paired:", "probe:"
# Variants that no user sees begin so.
ASIDE = (SHADOW, PAIRED, PROBE)
# Besides the scores themselves, what a pair says of two amounts.
WIN, LOG_RATIO = "_win", "_log_ratio"


def instant(value: Any) -> Any:
    """Epoch seconds of an ISO 8601 time; one without a zone is UTC. Raises ValueError."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("is no ISO 8601 time") from None
    if isinstance(value, date) and not isinstance(value, datetime):  # as YAML reads a bare one
        value = datetime.combine(value, time())
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return value


Instant = Annotated[
    float, Field(ge=0), BeforeValidator(instant, json_schema_input_type=float | str)
]
Share = Annotated[float, Field(gt=0, lt=1)]


class Arm(Tree):
    """One side of a comparison: a variant, of one model only where that is named."""

    # The share of the calls that it is given; a number alone is short for it.
    share: Share | None = None
    # The variant of its calls, where that is not the arm's name.
    variant: str | None = None
    # Only calls of this model.
    model: str | None = None
    # Of an observational comparison: the period that is looked at.
    start: Instant | None = None
    # Of an observational comparison: the end of that period.
    end: Instant | None = None


class Step(Tree):
    """From `at` on the arms have these shares."""

    # When the shares change.
    at: Instant
    # By arm; they sum to 1.
    shares: dict[str, Share]


class Experiment(Tree):
    """One comparison. The first arm is the control; the others are compared with it."""

    # A split of live traffic, pairs with a shadow, a self-test, or a look back.
    design: Design = "split"
    # Only calls of this service.
    service: str | None = None
    # The control first: a list of variants, or variants with their shares.
    arms: dict[str, Arm] = Field(min_length=2, max_length=10)
    # Shares that change on the way.
    ramp: tuple[Step, ...] = ()
    # What was drawn for an arm; it enters once.
    unit: Literal["request", "session", "user"] = "request"
    # A session or user enters once, as its mean over this long from its first call.
    horizon_s: float = Field(default=1800.0, gt=0, le=86_400)
    # The one metric that decides.
    primary: str
    # A difference of the primary metric that is smaller does not matter.
    margin: float | None = Field(default=None, gt=0, lt=1)
    # Metrics that must not be worse by more than this.
    guardrails: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=dict)
    # Which end is good, for metrics whose catalogue row does not say.
    good: dict[str, Literal["high", "low"]] = Field(default_factory=dict)
    # ISO 8601; calls before it do not count.
    start: Instant
    # Calls from then on do not count.
    end: Instant | None = None
    # Each candidate without an effect is called better or worse in at most this share of runs.
    alpha: float = Field(default=0.05, gt=0, le=0.5)
    # A slice with fewer calls in an arm is not shown.
    slice_calls: int = Field(default=100, ge=1)

    @field_validator(
        "arms",
        mode="before",
        json_schema_input_type=dict[str, Arm | Share | None] | list[str],
    )
    @classmethod
    def _short_forms(cls, arms: Any) -> Any:
        """A list of variants, or variants with their shares."""
        if isinstance(arms, list):
            if len(set(map(str, arms))) < len(arms):
                raise ValueError("names an arm twice")
            return {str(name): {} for name in arms}
        if isinstance(arms, dict):
            return {
                str(name): {"share": arm} if isinstance(arm, int | float) else arm or {}
                for name, arm in arms.items()
            }
        return arms

    @model_validator(mode="after")
    def _is_one_comparison(self) -> "Experiment":
        self._check_time()
        self._check_shares()
        self._check_arms()
        for name in (self.primary, *self.guardrails):
            self._check_metric(name)
        return self

    def _check_time(self) -> None:
        if self.end is not None and self.end <= self.start:
            raise ValueError("ends before it starts")
        edges = [self.start, *(step.at for step in self.ramp)]
        if any(b <= a for a, b in itertools.pairwise(edges)):
            raise ValueError("overlaps itself: each step of its ramp must be later than the last")
        if self.end is not None and edges[-1] >= self.end:
            raise ValueError("has a step of its ramp after its end")

    def _check_shares(self) -> None:
        given = {name: arm.share for name, arm in self.arms.items() if arm.share is not None}
        if self.paired or self.design == "observational":
            if given or self.ramp:
                kind = "paired" if self.paired else self.design
                raise ValueError(f"a comparison that is {kind} has no shares")
            return
        for shares in (given, *(step.shares for step in self.ramp)):
            for name in shares:
                if name not in self.arms:
                    raise ValueError(f"unknown arm {name} in ramp; known are {self._names()}")
            for name in self.arms:
                if name not in shares:
                    raise ValueError(f"arm {name} has no share")
            if abs(sum(shares.values()) - 1) > 1e-6:
                raise ValueError(f"shares of its arms sum to {sum(shares.values()):g}, not to 1")

    def _check_arms(self) -> None:
        if self.design == "observational":
            self._check_periods()
            return
        if any(arm.start is not None or arm.end is not None for arm in self.arms.values()):
            raise ValueError("only the arms of an observational comparison have periods")
        seen = {(self.variant(name), self.arms[name].model) for name in self.arms}
        if len(seen) < len(self.arms):
            raise ValueError("overlaps itself: two arms are the same variant")
        if self.unit != "request" and len({v for v, _ in seen}) < len(seen):
            raise ValueError(f"arms that only their model tells apart cannot be by {self.unit}")
        shadows = [self.variant(name).startswith(SHADOW) for name in self.arms]
        if self.paired and (shadows[0] or not all(shadows[1:])):
            raise ValueError(f"pairs a variant with arms named {SHADOW}<name> that mirror it")

    def _check_periods(self) -> None:
        if self.unit != "request":
            raise ValueError(
                f"an observational comparison counts calls: leave out unit {self.unit}"
            )
        spans = [
            (self.variant(name), arm.model, *self.period(name)) for name, arm in self.arms.items()
        ]
        for at, (variant, model, start, end) in enumerate(spans):
            if end <= start:
                raise ValueError(f"arm {list(self.arms)[at]} ends before it starts")
            for other in spans[:at]:
                if other[:2] == (variant, model) and start < other[3] and other[2] < end:
                    raise ValueError("overlaps itself: two arms share calls")

    def _check_metric(self, name: str) -> None:
        if name.startswith("slo_"):
            return
        plain = name.removesuffix(WIN)
        known = BY_NAME.get(plain)
        if known is None:
            raise ValueError(f"unknown metric {name}; see `vedette catalog`")
        if (known.kind == "amount") != (plain != name):
            instead = f"{plain}{WIN} in a paired design or " if known.kind == "amount" else ""
            raise ValueError(f"{name} is a metric without a range; name {instead}slo_<objective>")
        if plain != name and not self.paired:
            raise ValueError(f"{name} needs a paired design")
        if self.good_end(name) == "none":
            raise ValueError(f"says nothing of the good end of {name}: good: {{{name}: low}}")

    def _names(self) -> str:
        return ", ".join(self.arms)

    def good_end(self, name: str) -> str:
        """Which end of a metric is good: "high", "low" or "none". A win is a win."""
        if name in self.good:
            return self.good[name]
        if name.startswith("slo_"):
            return "low"
        return "high" if name.endswith(WIN) else BY_NAME[name].good

    @property
    def paired(self) -> bool:
        """Whether candidates answer the control's own questions; a self-test may, too."""
        if self.design == "aa":
            return any(self.variant(arm).startswith(SHADOW) for arm in self.arms)
        return self.design == "paired"

    def variant(self, arm: str) -> str:
        """The variant label of an arm's calls."""
        return self.arms[arm].variant or arm

    def labels(self) -> tuple[str, ...]:
        """The variant labels of the arms' calls and of their pairs."""
        plain = [self.variant(arm) for arm in self.arms]
        pairs = [PAIRED + one.removeprefix(SHADOW) for one in plain if one.startswith(SHADOW)]
        return tuple(dict.fromkeys(plain + (pairs if self.paired else [])))

    def arm_of(self, variant: str, model: str) -> str | None:
        """Whose calls these are: an arm, or `paired:` and an arm for its pairs."""
        for name, arm in self.arms.items():
            if arm.model in (None, model):
                label = self.variant(name)
                if variant == label:
                    return name
                paired = PAIRED + label.removeprefix(SHADOW)
                if self.paired and label.startswith(SHADOW) and variant == paired:
                    return PAIRED + name
        return None

    def period(self, arm: str) -> tuple[float, float]:
        """When an arm's calls began: [start, end)."""
        held, far = self.arms[arm], float("inf")
        start = self.start if held.start is None else held.start
        end = self.end if held.end is None else held.end
        return start, far if end is None else end

    def definition(self) -> str:
        """A digest of what a run depends on: another one begins a new run. A step of the ramp that
        is still to come, or an end, may be added to a run that goes on."""
        told = self.model_dump_json(exclude={"ramp", "end", "slice_calls"})
        return event_key(told).hex()[:12]

    def epochs(self) -> list[tuple[float, Mapping[str, float]]]:
        """When each share of the arms begins, with the shares in the order of the arms; a design
        without shares has one epoch."""
        first = {name: arm.share or 0.0 for name, arm in self.arms.items()}
        later = [(step.at, {name: step.shares[name] for name in self.arms}) for step in self.ramp]
        return [(self.start, first), *later]

    def steps_before(self, at: float) -> list[list[Any]]:
        """The steps of the ramp before a time, as plain data."""
        return [[step.at, dict(sorted(step.shares.items()))] for step in self.ramp if step.at < at]

    @property
    def control(self) -> str:
        """The arm that the others are compared with."""
        return next(iter(self.arms))

    @property
    def candidates(self) -> tuple[str, ...]:
        """The other arms."""
        return tuple(self.arms)[1:]
