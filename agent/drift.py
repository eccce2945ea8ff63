"""What the watch promises, as the configuration defines it."""

from pydantic import Field

from agent.tree import Tree


class Examples(Tree):
    """The most novel texts of each pane, redacted, for findings to show."""

    # Of each source partition, pane and kind of text.
    per_pane: int = Field(default=3, ge=1, le=100)
    # How long they are kept.
    days: float = Field(default=7.0, gt=0)


class Drift(Tree):
    """Whether a score, flag or objective leaves its baseline, under a yearly budget."""

    # Over everything watched, in the mean.
    false_alarms_per_year: float = Field(default=1.0, gt=0)
    # The budget is shared by so many series; one beyond them is shown and not watched.
    watched_series: int = Field(default=1000, ge=1, le=100_000)
    # The first calls of each series are its baseline: so many at least.
    baseline_calls: int = Field(default=5000, ge=100)
    # The least time that a baseline spans: in less it cannot be seen how alike the calls of one
    # session are.
    baseline_s: float = Field(default=900.0, ge=0)
    # A baseline for each hour of the day (UTC), each learned from the calls of that hour.
    by_hour: bool = False
    # A smaller difference of the mean does not matter.
    matters: float = Field(default=0.0, ge=0, lt=1)
    # The segments whose shares of the calls are watched, all that are declared unless some are
    # named; "model" is one, and rings with every rollout.
    mix: tuple[str, ...] | None = None
    # Without them findings of novelty name ids and keep no text.
    examples: Examples | None = None
