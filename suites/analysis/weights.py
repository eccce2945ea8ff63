"""What counts how much in the one score of a target, as a suite states it."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from agent.catalog import BY_NAME, Dimension, metric_named
from agent.tree import Tree
from suites.analysis.tables import is_metric
from suites.record import Run

DIMENSIONS: tuple[Dimension, ...] = ("quality", "efficiency", "safety", "robustness", "fairness")
# What the dimensions weigh in the overall score by themselves.
WEIGHTS: dict[Dimension, float] = {
    "quality": 0.4, "efficiency": 0.3, "safety": 0.2, "robustness": 0.1, "fairness": 0.0,
}  # fmt: skip


class Weighing(Tree):
    """How metrics become dimensions, and dimensions one score."""

    # By dimension; one that is not named counts nothing, and they need not sum to 1.
    weights: dict[Dimension, Annotated[float, Field(ge=0)]] = Field(
        default_factory=lambda: dict(WEIGHTS)
    )
    # By amount (latency, ttft, tpot, cost): the mean that is good enough for the full score.
    goals: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    # Those that count alone in their dimensions; a dimension of which none is named keeps its own.
    metrics: tuple[str, ...] = ()
    # The intervals hold with a chance of 1 - alpha.
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    draws: int = Field(default=2_000, ge=200, le=20_000)
    seed: int = 0

    @classmethod
    def of(cls, run: Run) -> Self:
        """As its suite stated it; the default where the run was kept without."""
        return cls(**run.weighing)

    @field_validator("goals")
    @classmethod
    def _goals_are_of_amounts(cls, told: dict[str, float]) -> dict[str, float]:
        for name in told:
            if name not in BY_NAME or BY_NAME[name].kind != "amount" or BY_NAME[name].good != "low":
                raise ValueError(f"{name} is no amount of which less is better")
        return told

    @field_validator("metrics")
    @classmethod
    def _metrics_are_known(cls, told: tuple[str, ...]) -> tuple[str, ...]:
        for name in told:
            if not is_metric(name) or metric_named(name).good == "none":
                raise ValueError(f"{name} is no metric with a good end")
        return told

    @model_validator(mode="after")
    def _something_counts(self) -> "Weighing":
        if not any(self.weights.values()):
            raise ValueError("weights are all 0")
        return self
