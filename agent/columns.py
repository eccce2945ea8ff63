"""From calls and their scores to columns: one array a metric, NaN where it is missing."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.buckets import BINS, Ints
from agent.catalog import metric_named
from agent.panes import Column
from agent.record import NOT_MEANT, Call, Score
from agent.sla import Objective

ABSENT, UNJUDGED = ("", "absent"), ("", "unjudged")
FAILURES = ("error", "timeout")
# Reasons that a failed call gives for a missing score; another reason would have held anyway.
TAKEN_AWAY = ("absent", "no_response")
# The series beside an objective of what failed calls have in it.
FAILED = "failed"
RECORD_METRICS = ("latency", "ttft", "tpot", "tokens_in", "tokens_out", "cost", "error", "feedback")


def _tpot(call: Call) -> float | None:
    # Time per token after the first; one token alone has no time between tokens.
    if call.latency_s is None or call.ttft_s is None or not call.tokens_out or call.tokens_out < 2:
        return None
    return max(0.0, call.latency_s - call.ttft_s) / (call.tokens_out - 1)


def record_columns(calls: Sequence[Call]) -> list[Column]:
    """The metrics that the record itself states."""
    read: dict[str, Iterable[float | None]] = {
        "latency": [call.latency_s for call in calls],
        "ttft": [call.ttft_s for call in calls],
        "tpot": [_tpot(call) for call in calls],
        "tokens_in": [call.tokens_in for call in calls],
        "tokens_out": [call.tokens_out for call in calls],
        "cost": [call.cost_usd for call in calls],
        "error": [0.0 if call.status == "ok" else 1.0 for call in calls],
        "feedback": [None if c.feedback is None else (c.feedback + 1) / 2 for c in calls],
    }
    return [_numbers(name, values) for name, values in read.items()]


def _numbers(name: str, values: Iterable[float | None]) -> Column:
    numbers = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    return Column(name, numbers, np.isnan(numbers).astype(np.int16), ABSENT)


def breach_columns(columns: Sequence[Column], slo: Mapping[str, Objective]) -> list[Column]:
    """The breaches of the objectives on these columns, missing where their metric is."""
    held, found = {column.metric: column for column in columns}, []
    for name, objective in sorted(slo.items()):
        one = held.get(objective.metric)
        if one is not None:
            breach = np.where(np.isnan(one.values), np.nan, objective.breached(one.values))
            # A judgement comes later: that it is not there yet is no failure's doing.
            reasons = UNJUDGED if one.metric == "feedback" else one.reasons
            found.append(Column(f"slo_{name}", breach, one.why, reasons))
    return found


def failed_columns(
    columns: Sequence[Column], calls: Sequence[Call], slo: Mapping[str, Objective]
) -> list[Column]:
    """What failed calls have in objectives on amounts, a series each beside the objective. A
    comparison takes it out and counts these calls as the worst: what is refused at once is no fast
    answer."""
    failed = np.array([call.status in FAILURES for call in calls], dtype=np.bool_)
    mine = {f"slo_{name}" for name, objective in slo.items() if objective.of_amount}
    return [
        Column(f"{column.metric}|{FAILED}", np.where(failed, column.values, np.nan),
               np.zeros(len(failed), np.int16), ("",))
        for column in columns if column.metric in mine and failed.any()
    ]  # fmt: skip


def score_column(metric: str, scores: Sequence[Score]) -> Column:
    """One scorer's scores as a column; the reason of a missing one is its `why`."""
    reasons: dict[str, int] = {"": 0}
    numbers = np.empty(len(scores))
    why = np.zeros(len(scores), dtype=np.int16)
    for i, score in enumerate(scores):
        if score.value is not None:
            numbers[i] = score.value
        else:
            numbers[i] = math.nan
            word = score.why or score.status
            why[i] = reasons.setdefault(word, len(reasons))
    return Column(metric, numbers, why, tuple(reasons))


def axis_columns(metric: str, scores: Sequence[Score]) -> list[Column]:
    """Where texts lie on the axes of a baseline, a series each beside the metric; what has no place
    is not counted as missing, since the metric says it."""
    nowhere = (math.nan,) * max((len(one.axes) for one in scores), default=0)
    rows = zip(*(one.axes or nowhere for one in scores), strict=True)
    return [
        Column(f"{metric}|{axis}", np.array(row) / BINS, np.zeros(len(row), np.int16), ("",))
        for axis, row in enumerate(rows, 1)
    ]


def blame_failures(columns: Sequence[Column], calls: Sequence[Call]) -> list[Column]:
    """The columns with "error" or "timeout" as the reason of scores that a failed call took away.

    A comparison counts these as the worst score; what is missing for another reason it leaves out.
    """
    status = np.array([FAILURES.index(call.status) + 1 if call.status in FAILURES else 0
                       for call in calls], dtype=np.int16)  # fmt: skip
    return [_blamed(column, status) for column in columns] if status.any() else list(columns)


def _blamed(column: Column, status: NDArray[np.int16]) -> Column:
    if column.metric == "feedback" or metric_named(column.metric).kind == "amount":
        return column
    lost = [at for at, why in enumerate(column.reasons) if why in TAKEN_AWAY]
    failed = np.isin(column.why, lost) & (status > 0)
    if not failed.any():
        return column
    why = np.where(failed, len(column.reasons) - 1 + status, column.why).astype(np.int16)
    return Column(column.metric, column.values, why, (*column.reasons, *FAILURES))


def take(column: Column, index: Ints) -> Column:
    """The column of some of the calls."""
    return Column(column.metric, column.values[index], column.why[index], column.reasons)


def missing_by_reason(column: Column) -> dict[str, int]:
    """How many values are missing, and why."""
    counts = dict(zip(column.reasons, np.bincount(column.why).tolist(), strict=False))
    return {word: n for word, n in counts.items() if word not in ("", NOT_MEANT) and n}


def rows_of(columns: Sequence[Column]) -> list[dict[str, float]]:
    """The values of each call by metric, missing ones left out."""
    names = [column.metric for column in columns]
    table = [column.values.tolist() for column in columns]
    return [
        {name: value for name, value in zip(names, row, strict=True) if value == value}
        for row in zip(*table, strict=True)
    ]
