"""Which gaps between segments are looked at, as the configuration defines it."""

from collections.abc import Container
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from agent.catalog import BY_NAME, metric_named
from agent.tree import Tree

SLO = "slo_"
Gap = Annotated[float, Field(ge=0, lt=1)]


class Fairness(Tree):
    """Whether calls of one value of a declared segment go otherwise than those of the others."""

    # Keys of `segments`; none means all of them.
    segments: tuple[str, ...] = ()
    # What is compared; objectives are `slo_<name>`.
    metrics: tuple[str, ...] = (
        *("response_toxicity", "response_refusal", "tokens_out", "latency", "error"),
    )
    # A value with fewer calls, or with fewer others, is shown and not tested.
    least_calls: int = Field(default=200, ge=2)
    # Evidence is gathered in windows of so many days, counted from 1970-01-01 UTC: one that slides
    # would gather false alarms with every look.
    since_days: int = Field(default=7, ge=1, le=366)
    # A smaller gap does not matter: one number, or by metric, and `default` for the others.
    matters: dict[str, Gap] = Field(default_factory=lambda: {"default": 0.02})
    # At most this share of the gaps that are told are none, in the mean.
    alpha: float = Field(default=0.05, gt=0, lt=1)

    @field_validator("matters", mode="before", json_schema_input_type=Gap | dict[str, Gap])
    @classmethod
    def _one_number(cls, told: Any) -> Any:
        return told if isinstance(told, dict) else {"default": told}

    @model_validator(mode="after")
    def _names_are_known(self) -> "Fairness":
        for name in self.metrics:
            if name not in BY_NAME and not name.startswith(SLO):
                raise ValueError(f"metrics names {name}, which is no metric")
        for name in self.matters:
            if name not in (*self.metrics, "default"):
                raise ValueError(f"matters names {name}, which is not in metrics")
        if not self.metrics:
            raise ValueError("metrics names none")
        return self

    def matters_of(self, metric: str) -> float:
        """The gap of a metric below which it does not matter."""
        return self.matters.get(metric, self.matters.get("default", 0.02))

    def bounded(self) -> tuple[str, ...]:
        """The metrics in [0, 1]."""
        return tuple(dict.fromkeys(m for m in self.metrics if metric_named(m).kind != "amount"))

    def amounts(self) -> tuple[str, ...]:
        """The metrics without a limit."""
        return tuple(dict.fromkeys(m for m in self.metrics if metric_named(m).kind == "amount"))

    def undeclared(self, segments: Container[str], slo: Container[str]) -> str | None:
        """What it names and the rest of the configuration does not declare, or None."""
        for key in self.segments:
            if key not in segments:
                return f"names {key}, which is not in segments"
        for metric in self.metrics:
            if metric.startswith(SLO) and metric.removeprefix(SLO) not in slo:
                return f"names {metric}, which is not in slo"
        return None
