"""Which gaps between segments are told, and how their findings move from look to look."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from abtest.quantiles import quantile_interval
from abtest.verdict import discoveries
from abtest.wording import moment
from agent.buckets import Floats
from agent.fairness import Fairness
from agent.findings import Finding, State, step
from agent.panes import HOUR_S
from agent.store import Transaction, reads
from agent.store.findings import open_findings, put_findings
from watch.gaps import gaps_of
from watch.hours import DAY_S, Compared, Hours, Span, histogram

# The source of findings that are about all sources together.
EVERYWHERE = "*"
GAP, NONE_SEEN, FEW, UNKNOWN = "gap", "none seen", "insufficient data", "could not tell"


@dataclass(frozen=True, slots=True)
class Gap:
    """One value of a segment against all others of its key in one metric, in the window from
    `since` as far as `as_of` (epoch seconds), which is `over` or not.

    `above` is the amount whose exceeding is counted, NaN for a metric in [0, 1]; `medians` are
    the ratio of the medians of an amount and its interval, shown and not tested; `design_effect`
    is NaN where calls are taken as independent. NaN is a number that is not known.
    """

    service: str
    segment: str
    metric: str
    state: str
    n: int
    others_n: int
    mean: float
    others_mean: float
    gap: float
    lower: float
    upper: float
    log_evidence: float
    log_threshold: float
    matters: float
    design_effect: float
    above: float
    medians: tuple[float, float, float]
    since: int
    as_of: int
    over: bool

    def as_json(self) -> dict[str, Any]:
        """As scripts read it: null for what is not known."""
        told = asdict(self) | {"medians": [_plain(one) for one in self.medians]}
        return {name: _plain(value) for name, value in told.items()}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def newest_hour(tx: Transaction) -> int:
    """The end of the last closed hour of any source, in epoch seconds; 0 when there is none."""
    return int(max(reads.closed_times(tx).values(), default=0.0) // HOUR_S * HOUR_S)


def look(tx: Transaction, hours: Hours, end: int) -> list[Gap]:
    """Every gap as the hours before `end` have it: those told first, then by their evidence."""
    fairness = hours.fairness
    span = Span.at(end, fairness.since_days)
    made = [gap for one in hours.compared(tx, span) for gap in _of(one, fairness, span)]
    tested = [gap for gap in made if gap.state == NONE_SEEN]
    found = discoveries([gap.log_evidence for gap in tested], fairness.alpha)
    # The least evidence that is believed beside as many (e-BH).
    level = math.log(max(len(tested), 1) / (max(sum(found), 1) * fairness.alpha))
    judged = [
        replace(gap, state=GAP if sure else NONE_SEEN, log_threshold=level)
        for gap, sure in zip(tested, found, strict=True)
    ]
    rest = [gap for gap in made if gap.state != NONE_SEEN]
    return sorted(judged, key=lambda gap: (gap.state != GAP, -gap.log_evidence)) + rest


def _of(one: Compared, fairness: Fairness, span: Span) -> Iterable[Gap]:
    matters, metric = fairness.matters_of(one.metric), one.metric
    if one.quantile is not None:
        metric = f"{metric}_over_p{100 * one.quantile:.0f}"
    gaps = gaps_of(one.sums, matters, fairness.alpha)
    medians = _medians(one, fairness.alpha)
    blind = one.quantile is not None and math.isnan(one.edge)
    for at, value in enumerate(one.values):
        n, others, mean, others_mean, lower, upper, level, effect = (float(o[at]) for o in gaps)
        state = NONE_SEEN
        if blind or not n or (math.isnan(mean) and min(n, others) >= fairness.least_calls):
            state = UNKNOWN
        elif min(n, others) < fairness.least_calls:
            state = FEW
        if blind:
            mean = others_mean = lower = upper = math.nan
        yield Gap(
            one.service, f"{one.key}={value}", metric, state, round(n), round(others), mean,
            others_mean, mean - others_mean, lower, upper, level, math.nan, matters, effect,
            one.edge, medians[at], span.start, span.end,
            span.over,
        )  # fmt: skip


_NO_MEDIANS = (math.nan, math.nan, math.nan)


def _medians(one: Compared, alpha: float) -> list[tuple[float, float, float]]:
    """The ratio of the medians of each value and of the others; each interval at alpha / 2."""
    if one.amounts is None or one.quantile != 0.5:
        return [_NO_MEDIANS] * len(one.values)
    return [_ratio(row, one.amounts.sum(0) - row, alpha) for row in one.amounts]


def _ratio(row: Floats, rest: Floats, alpha: float) -> tuple[float, float, float]:
    mine, others = histogram(row), histogram(rest)
    ours, theirs = mine.quantile(0.5), others.quantile(0.5)
    if not ours or not theirs:
        return _NO_MEDIANS
    low, high = quantile_interval(mine, 0.5, alpha / 2)
    first, last = quantile_interval(others, 0.5, alpha / 2)
    return ours / theirs, low / last, high / first if first else math.inf


def keep_fairness(tx: Transaction, hours: Hours, looked: int, newest: int, now: float) -> None:
    """Look at what closed since the hour `looked` (0: never), once at `newest` and once at the end
    of each window before it; store what that changes."""
    known = {one.name: one for one in open_findings(tx, EVERYWHERE, "fairness")}
    moved: dict[bytes, Finding] = {}
    for end in _ends(looked, newest, hours.fairness.since_days * DAY_S):
        for name, seen in _seen(look(tx, hours, end), known, end).items():
            after = step(known.get(name), seen, 0.0)
            if after is not None:
                known[name] = moved[after.key] = after
    put_findings(tx, EVERYWHERE, moved.values(), now)


def _ends(looked: int, newest: int, length_s: int) -> list[int]:
    first = (looked // length_s + 1) * length_s if looked else newest
    return sorted({*range(first, newest, length_s), newest})


Name = tuple[tuple[str, str], ...]


def _seen(gaps: Sequence[Gap], known: dict[Name, Finding], end: int) -> dict[Name, Finding]:
    """What a look gave of each gap, and of what was told before and is not there any longer."""
    seen = {finding.name: finding for finding in map(_finding, gaps)}
    gone = {
        name: replace(one, state="could not tell", as_of=end)
        for name, one in known.items()
        if name not in seen
    }
    return seen | gone


def _finding(gap: Gap) -> Finding:
    names = (("service", gap.service), ("segment", gap.segment), ("metric", gap.metric))
    facts = ("mean", "others_mean", "others_n", "matters", "design_effect", "above", "since")
    return Finding(
        "fairness", names, _state(gap), "warning", gap.as_of, gap.as_of, sentence(gap), gap.n,
        gap.log_evidence, gap.log_threshold, gap.gap, gap.lower, gap.upper,
        tuple((fact, getattr(gap, fact)) for fact in facts),
    )  # fmt: skip


def _state(gap: Gap) -> State:
    """That no gap was seen yet is no word of its end, unless the interval or a whole window says
    so."""
    if gap.state == GAP:
        return "firing"
    if gap.state == FEW:
        return "insufficient data"
    within = -gap.matters <= gap.lower and gap.upper <= gap.matters
    return "resolved" if gap.state == NONE_SEEN and (within or gap.over) else "could not tell"


def sentence(gap: Gap) -> str:
    """A gap in one sentence, with its numbers."""
    what = f"{gap.metric} of {gap.service}"
    if math.isfinite(gap.above):
        what += f" ({gap.above:.4g})"
    since = f"since {moment(gap.since)}"
    if gap.state in (FEW, UNKNOWN):
        return f"{what}, {gap.segment}: {gap.state}, {gap.n} calls with a value {since}"
    alike = "calls taken as independent"
    if math.isfinite(gap.design_effect):
        alike = f"{gap.design_effect:.1f} calls say as much as an independent one"
    return (
        f"{what} is {gap.mean:.4f} for {gap.segment} and {gap.others_mean:.4f} for the others, a"
        f" gap of {gap.gap:+.4f} [{gap.lower:+.4f}, {gap.upper:+.4f}] in {gap.n} and"
        f" {gap.others_n} calls {since}; {alike}"
    )
