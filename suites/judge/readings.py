"""What a judge came to in a run: can it be believed, and what does it say of all items."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from abtest.ppi import Estimate, judged_alone, mean, of_scores, rogan_gladen
from agent.catalog import metric_named
from suites.datasets import read_rows
from suites.judge.calibration import MIDDLE, Calibration, calibrate
from suites.judge.rubric import Rubric
from suites.judge.spending import Spent, spent_of
from suites.record import Item, Outcome, Run
from suites.suite import Judge

# (item, target or "" for all, rubric or "" for all) -> the label's value.
Labels = Mapping[tuple[str, str, str], float]
# An estimate from errors that are known from fewer labelled items of a kind says nothing.
_FEWEST_LABELLED = 10


@dataclass(frozen=True, slots=True)
class Reading:
    """One rubric and one target.

    `missing` says why answers have no verdict; `canaries` is the share that the judge passed of
    those that it was asked.
    `estimates` are means over all items: of the verdicts alone (`judge`), from a cheap metric
    (`judge + METRIC`), of what people would say (`people + judge`), and the share of bad answers
    corrected for the judge's errors (`bad, corrected`).
    """

    target: str
    rubric: str
    judged: int
    missing: Mapping[str, int]
    canaries: float | None
    canaries_asked: int
    distrusted: bool
    position_bias: float | None
    spent: Spent | None
    calibration: Calibration | None = None
    estimates: Mapping[str, Estimate] = field(default_factory=dict)


def read_labels(
    told: Judge, rubrics: Sequence[Rubric], folder: Path
) -> tuple[dict[tuple[str, str, str], float], Counter[str]]:
    """What people said, and by reason the rows that say nothing; raises BadConfig for the file."""
    found: dict[tuple[str, str, str], float] = {}
    rejected = Counter[str]()
    if told.labels is None:
        return found, rejected
    known = {one.name: one.values for one in rubrics}
    for row in read_rows("judge.labels", str(told.labels), folder):
        if isinstance(row, str):
            rejected[row] += 1
            continue
        name, item = str(row.get("rubric") or ""), row.get("id")
        for rubric in [name] if name else known:
            value = known.get(rubric, {}).get(str(row.get("label")))
            if value is None or item is None:
                rejected["no_id" if item is None else "bad_label"] += 1
            else:
                found[str(item), str(row.get("target") or ""), rubric] = value
    return found, rejected


def readings(run: Run, told: Judge, rubrics: Sequence[Rubric], labels: Labels) -> Iterator[Reading]:
    """Of every target and rubric of a run that was judged."""
    for outcome in run.outcomes:
        for rubric in rubrics:
            if rubric.metric in outcome.scores:
                yield _reading(run.items, outcome, rubric, told, labels)


def _reading(
    items: Sequence[Item], outcome: Outcome, rubric: Rubric, told: Judge, labels: Labels
) -> Reading:
    mine = [i for i, one in enumerate(outcome.scores[rubric.metric]) if one.why != "not_meant"]
    scores = [outcome.scores[rubric.metric][i] for i in mine]
    verdicts = [one.value for one in scores]
    people = [_label(labels, items[i], outcome.target, rubric) for i in mine]
    found = {"judge": judged_alone([one for one in verdicts if one is not None])}
    if metric := told.cheap.get(rubric.name):
        found[f"judge + {metric}"] = over_all(verdicts, cheap_row(outcome, metric, mine), metric)
    calibration = None
    if any(one is not None for one in people):
        calls = [outcome.calls[i] for i in mine]
        chars = [len(one.response or "") if one is not None else 0 for one in calls]
        calibration = _calibrated(verdicts, people, chars)
        found["people + judge"] = over_all(people, verdicts, rubric.metric)
        found["bad, corrected"] = _corrected(verdicts, people)
    stem, told_of = rubric.metric, outcome.measures
    share = told_of.get(f"{stem}_canaries_passed_ratio")
    return Reading(
        outcome.target, rubric.name, sum(one is not None for one in verdicts),
        Counter(one.why or one.status for one in scores if one.value is None),
        share, int(told_of.get(f"{stem}_canaries_asked_calls", 0)),
        share is not None and share < told.bar, told_of.get(f"{stem}_position_bias_ratio"),
        spent_of(rubric, told_of), calibration, found,
    )  # fmt: skip


def cheap_row(outcome: Outcome, metric: str, places: Sequence[int]) -> list[float | None]:
    """A metric at these places; all None where it was not scored."""
    row = outcome.scores.get(metric)
    return [None] * len(places) if row is None else [row[i].value for i in places]


def over_all(
    verdicts: Sequence[float | None], cheap: Sequence[float | None], metric: str
) -> Estimate:
    """The mean verdict over all that have a cheap score, from those that have both.

    A cheap metric whose low end is good is turned round: the weight is never negative.
    """
    low = metric_named(metric).good == "low"
    pairs = [
        (verdict, 1 - score if low else score)
        for verdict, score in zip(verdicts, cheap, strict=True)
        if score is not None
    ]
    both = [(verdict, score) for verdict, score in pairs if verdict is not None]
    rest = of_scores([score for verdict, score in pairs if verdict is None])
    return mean([one for one, _ in both], [one for _, one in both], rest)


def _label(labels: Labels, item: Item, target: str, rubric: Rubric) -> float | None:
    ids = (item.call.id, item.call.id.partition(":")[2])
    found = (labels.get((one, who, rubric.name)) for one in ids for who in (target, ""))
    return next((one for one in found if one is not None), None)


def _calibrated(
    verdicts: Sequence[float | None], people: Sequence[float | None], chars: Sequence[int]
) -> Calibration:
    rows = [(v, p, n) for v, p, n in zip(verdicts, people, chars, strict=True) if p is not None]
    return calibrate([v for v, _, _ in rows], [p for _, p, _ in rows], [n for _, _, n in rows])


def _corrected(verdicts: Sequence[float | None], people: Sequence[float | None]) -> Estimate:
    """The share of bad answers among those that nobody labelled."""
    known = [(v < MIDDLE, p < MIDDLE) for v, p in zip(verdicts, people, strict=True)
             if v is not None and p is not None]  # fmt: skip
    rest = [v < MIDDLE for v, p in zip(verdicts, people, strict=True)
            if v is not None and p is None]  # fmt: skip
    bad, good = [v for v, p in known if p], [v for v, p in known if not p]
    if min(len(bad), len(good)) < _FEWEST_LABELLED:
        return Estimate(math.nan, 0.0, 1.0, len(known), len(rest), 0.0, "could not tell")
    clear = len(good) - sum(good)
    return rogan_gladen(sum(rest), len(rest), sum(bad), len(bad), clear, len(good))
