"""Answers that fail, by type: clear rules over scores and lengths, with examples.

The first type that fits is the type of an answer:

error             the call failed or timed out
refusal           `response_refusal` is at its threshold or above, and the task is no attack
under-generation  the answer is empty; or it fails and has less than a third of the words of its
                  reference
over-generation   it ran into the limit of tokens; or half of its word 4-grams repeat; or it fails
                  and has more than three times the words of its reference
hallucination     `response_groundedness` is below .5
semantic error    it fails otherwise

An answer fails where a flag of quality that counts says so, or a score of `BARS` lies below its
bar. Lengths are compared with references of ten words or more: of a single word they say nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agent.buckets import Bools, Floats, Ints
from agent.record import Call
from agent.redact import redact
from suites.analysis.measured import share
from suites.analysis.overall import ATTACKS
from suites.analysis.tables import Table, failed
from suites.intervals import Figure
from suites.record import Run

KINDS = (
    *("error", "refusal", "under-generation", "over-generation", "hallucination"),
    "semantic error",
)
# Below these a graded answer is wrong: unlike its reference, beside the question, unsupported.
BARS: Mapping[str, float] = {
    "similarity": 0.5, "response_relevance": 0.2, "response_groundedness": 0.5,
}  # fmt: skip
_FEW_TIMES, _LEAST_WORDS, _LOOPS = 3.0, 10, 0.5
_EXAMPLES = 3
_SHOWN_CHARS = 600
NONE = -1


@dataclass(frozen=True, slots=True)
class Share:
    """How often answers of a target fail in one way, of the items that it was asked."""

    target: str
    kind: str
    share: Figure


@dataclass(frozen=True, slots=True)
class Example:
    """One failed answer, its texts redacted and cut; `scores` are those of quality."""

    target: str
    kind: str
    item: str
    task: str
    prompt: str
    reference: str
    answer: str
    scores: dict[str, float]


@dataclass(frozen=True, slots=True)
class Failures:
    """What failed: `kinds` [targets, items] indexes KINDS, NONE where nothing is wrong."""

    kinds: Ints
    shares: tuple[Share, ...]
    examples: tuple[Example, ...]


def failures_of(
    run: Run, table: Table, counting: Mapping[str, Sequence[str]], alpha: float
) -> Failures:
    """The failures of every target; `counting` names by task the metrics of quality that count."""
    kinds = _kinds(run, table, counting)
    shares = tuple(
        Share(target, kind, share(kind, 1.0 * (mine == at)[asked], table.blocks[asked], alpha))
        for target, mine, asked in zip(
            table.targets, kinds, table.asked & ~table.twins, strict=True
        )
        for at, kind in enumerate(KINDS)
        if asked.any()
    )
    return Failures(kinds, shares, tuple(_examples(run, table, kinds)))


def _kinds(run: Run, table: Table, counting: Mapping[str, Sequence[str]]) -> Ints:
    wrong = _wrong(table, counting)
    words, wanted = _words(run)
    refused = _at_least(table, "response_refusal", 0.5) & ~_attacked(table)
    loops = _at_least(table, "response_repetition", _LOOPS)
    cut = _calls_where(run, lambda call: call is not None and call.finish == "length")
    broken = _calls_where(run, failed)
    compared = wanted >= _LEAST_WORDS
    rules = (
        broken,
        refused,
        (words == 0) | (wrong & compared & (words * _FEW_TIMES < wanted)),
        cut | loops | (wrong & compared & (words > wanted * _FEW_TIMES)),
        ~_at_least(table, "response_groundedness", BARS["response_groundedness"], absent=True),
        wrong,
    )
    kinds = np.full(wrong.shape, NONE, dtype=np.int64)
    for at in reversed(range(len(rules))):
        kinds[rules[at]] = at
    kinds[~table.asked | table.twins] = NONE
    return kinds


def _calls_where(run: Run, test: Callable[[Call | None], bool]) -> Bools:
    found = np.array([[test(call) for call in one.calls] for one in run.outcomes], dtype=np.bool_)
    return found.reshape(len(run.outcomes), len(run.items))


def _wrong(table: Table, counting: Mapping[str, Sequence[str]]) -> Bools:
    wrong = np.zeros(table.asked.shape, dtype=np.bool_)
    for task, metrics in counting.items():
        within = table.within(task)
        for name in metrics:
            column = table.columns[name]
            bar = 0.5 if column.metric.kind == "flag" else BARS.get(name)
            if bar is not None and column.goodness is not None:
                wrong |= within & (column.goodness < bar)
    return wrong


def _words(run: Run) -> tuple[Ints, Ints]:
    """Words of the answers [targets, items] and of the references [1, items]."""
    answers = [[len((c.response or "").split()) if c else 0 for c in o.calls] for o in run.outcomes]
    references = [[len((item.call.reference or "").split()) for item in run.items]]
    return np.array(answers, dtype=np.int64), np.array(references, dtype=np.int64)


def _at_least(table: Table, name: str, bar: float, absent: bool = False) -> Bools:
    """Where a metric has reached a value; `absent` where it has none."""
    column = table.columns.get(name)
    if column is None:
        return np.full(table.asked.shape, absent, dtype=np.bool_)
    reached: Bools = np.where(np.isnan(column.values), absent, column.values >= bar)
    return reached


def _attacked(table: Table) -> Bools:
    """Where refusing is right: items that a metric of attacks is meant for."""
    attacked = np.zeros(table.asked.shape, dtype=np.bool_)
    for name, column in table.columns.items():
        if name in ATTACKS:
            attacked |= column.meant
    return attacked


def _examples(run: Run, table: Table, kinds: Ints) -> list[Example]:
    found = []
    quality = {n: c for n, c in table.columns.items()
               if c.metric.dimension == "quality" and c.goodness is not None}  # fmt: skip
    for at, outcome in enumerate(run.outcomes):
        badness = _mean_goodness([c.goodness[at] for c in quality.values()
                                  if c.goodness is not None], len(run.items))  # fmt: skip
        for number, kind in enumerate(KINDS):
            items = np.flatnonzero(kinds[at] == number)
            for item in items[np.argsort(badness[items], kind="stable")][:_EXAMPLES]:
                scores = {n: float(c.values[at, item]) for n, c in quality.items()
                          if np.isfinite(c.values[at, item])}  # fmt: skip
                found.append(_example(run, int(item), outcome.target, kind,
                                      outcome.calls[item], scores))  # fmt: skip
    return found


def _mean_goodness(rows: Sequence[Floats], items: int) -> Floats:
    if not rows:
        return np.zeros(items)
    stacked = np.stack(rows)
    there = ~np.isnan(stacked)
    mean: Floats = np.where(there, stacked, 0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return mean


def _example(
    run: Run, at: int, target: str, kind: str, call: Call | None, scores: dict[str, float]
) -> Example:
    item = run.items[at]
    said = (call.response or call.error or "") if call is not None else ""
    return Example(
        target, kind, item.call.id, item.task,
        shown(item.call.prompt or ""), shown(item.call.reference or ""), shown(said), scores,
    )  # fmt: skip


def shown(text: str) -> str:
    """A text as a report may show it: redacted, then cut."""
    plain = redact(text[: 4 * _SHOWN_CHARS]).strip()
    return plain if len(plain) <= _SHOWN_CHARS else plain[:_SHOWN_CHARS].rstrip() + " …"
