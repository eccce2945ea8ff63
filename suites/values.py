"""What each item of an outcome is worth in a metric, and why some are worth nothing."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from agent.buckets import Bools, Floats, Ints
from agent.catalog import Metric, metric_named
from agent.columns import FAILURES, RECORD_METRICS, TAKEN_AWAY, record_columns
from agent.record import NOT_MEANT, UNASKED, Call, Score
from suites.record import Outcome

# What a scorer says of an answer without a text.
_BLANK = (*TAKEN_AWAY, "too_short")


@dataclass(frozen=True, slots=True)
class Values:
    """One metric of the chosen items of an outcome, in their order.

    `worst` and `best` are what an item counts as: its score, or for a failed call either end of
    the range; NaN where it does not count. `reasons` says why ("" where it does), `units` numbers
    what the items belong to: sessions, users, or an item and its changed forms.
    """

    worst: Floats
    best: Floats
    reasons: tuple[str, ...]
    failed: Bools
    units: Ints

    @property
    def counted(self) -> Bools:
        """Which items count."""
        return ~np.isnan(self.worst)

    def missing(self) -> dict[str, int]:
        """How many items do not count, by reason; those that the metric is not meant for are
        left out."""
        words = [word for word in self.reasons if word and word != NOT_MEANT]
        return {word: words.count(word) for word in sorted(set(words))}


def values_of(
    outcome: Outcome, metric: str, places: Sequence[int] | None = None,
    blocks: Ints | None = None, flagged: bool = False,
) -> Values:  # fmt: skip
    """The values of a metric that was scored, or of one that the record states, at these places
    of the run (all of them without any). A metric that is in neither is missing everywhere.

    `blocks` [items of the run] are the units (suites.twins.blocks_of), else the calls' own; a
    `flagged` value is 1 from the metric's threshold on and 0 below it.
    """
    chosen = range(len(outcome.calls)) if places is None else places
    calls = [outcome.calls[at] for at in chosen]
    scores = outcome.scores.get(metric)
    given = _stated(calls, metric) if scores is None else [scores[at] for at in chosen]
    row, rows = metric_named(metric), []
    for call, score in zip(calls, given, strict=True):
        rows.append(_worth(row, call, score))
    low, high, why, failed = zip(*rows, strict=True) if rows else ((), (), (), ())
    ends = np.array([low, high], np.float64)
    if flagged:
        ends = np.where(np.isnan(ends), np.nan, ends >= (row.threshold or 0.0))
    units = units_of(calls) if blocks is None else blocks[np.array(chosen, np.int64)]
    return Values(ends[0], ends[1], tuple(why), np.array(failed, np.bool_), units)


def _worth(metric: Metric, call: Call | None, score: Score) -> tuple[float, float, str, bool]:
    why = score.why or score.status
    if call is not None and score.value is not None:
        return score.value, score.value, "", False
    if call is None or not _is_lost(metric, call, why):
        why = UNASKED if call is None and why in _BLANK else why
        return math.nan, math.nan, why, False
    worst = float(metric.good == "low")
    return worst, 1 - worst, "", True


def _is_lost(metric: Metric, call: Call, why: str) -> bool:
    """Whether a score is missing because the model failed: then the item counts, at the worst.

    A call that did not come back has failed in every metric with a good end. An answer without a
    text has failed where a high score was to be had: it harms nobody, and says nothing either.
    Feedback is what users say, and nobody is asked for it here.
    """
    if metric.kind == "amount" or metric.good == "none" or metric.name == "feedback":
        return False
    if call.status in FAILURES:
        return why in (*FAILURES, *_BLANK)
    blank = not (call.response or "").strip() and (call.reference or "x").strip() != ""
    return blank and metric.good == "high" and "response" in metric.text and why in _BLANK


def _stated(calls: Sequence[Call | None], metric: str) -> list[Score]:
    """The scores of a metric of the record; `absent` where it does not say."""
    asked = [call for call in calls if call is not None]
    if metric not in RECORD_METRICS or not asked:
        return [Score(None, "unscored", "absent")] * len(calls)
    (column,) = (one for one in record_columns(asked) if one.metric == metric)
    values = iter(column.values.tolist())
    return [
        Score(None, "unscored", "absent") if call is None or math.isnan(value := next(values))
        else Score(value)
        for call in calls
    ]  # fmt: skip


def units_of(calls: Iterable[Call | None]) -> Ints:
    """A number for the unit or session of each call; a call without either is one of its own."""
    numbers: dict[object, int] = {}
    found = []
    for at, call in enumerate(calls):
        name: object = None if call is None else call.unit or call.session
        found.append(numbers.setdefault(at if name is None else name, len(numbers)))
    return np.array(found, np.int64)


def by_unit(rows: Floats, units: Ints) -> Floats:
    """The sums of rows [items, columns] over each unit that there is [units, columns]."""
    _, places = np.unique(units, return_inverse=True)
    sums = np.zeros((int(places.max(initial=-1)) + 1, rows.shape[1]))
    np.add.at(sums, places, rows)
    return sums
