"""From evidence to words: verdicts, the rest of the metrics by e-BH, and how long it will take."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from abtest import ratio
from abtest.contrast import Contrast
from abtest.line import Line
from abtest.mixture import log_capital, log_evidence, mixed
from abtest.observe import nulls_of
from abtest.run import Run
from abtest.samples import Frame
from agent.buckets import Floats
from agent.experiments import Experiment

BETTER, WORSE, NOT_YET = "better", "worse", "not yet"
EQUIVALENT = "equivalent within the margin"
HOLDS = "not worse by more than the margin"
# Why nothing may be concluded, by the word that a label says for it.
INVALID = {
    "sample_ratio": "calls are not split as configured",
    "self_test": "the self-test of one model found a difference",
    "sign": "the difference changed its sign",
}
# A decision further off than this many times the present calls is not foreseeable.
_FARTHEST = 1e4


def invalid_because(run: Run, experiment: Experiment) -> str:
    """Why nothing may be concluded from a run, or ""."""
    peak = run.seen("sample ratio")
    if peak.log_evidence >= -math.log(ratio.THRESHOLD):
        p = ratio.p_value(peak.log_evidence)
        return f"{INVALID['sample_ratio']}, p = {p:.1g}"
    if experiment.design == "aa":
        for arm in experiment.candidates:
            if _seen(run, arm, experiment.primary, "above 0", "below 0"):
                return INVALID["self_test"]
    return ""


def primary_verdict(run: Run, contrast: Contrast) -> tuple[str, float | None]:
    """The verdict of the primary metric, and since when it stands."""
    names = [null.name for null in nulls_of(contrast)]
    times = {name: run.seen(contrast.arm, contrast.metric, name).decided_at for name in names}
    above, below = times["above 0"], times["below 0"]
    if above is not None and below is not None:
        return f"invalid ({INVALID['sign']})", max(above, below)
    if above is not None:
        return (BETTER if contrast.good == "high" else WORSE), above
    if below is not None:
        return (WORSE if contrast.good == "high" else BETTER), below
    inner = [times.get(name) for name in ("above -margin", "below margin")]
    if inner[0] is not None and inner[1] is not None:
        return EQUIVALENT, max(inner[0], inner[1])
    return NOT_YET, None


def guardrail_verdict(run: Run, contrast: Contrast) -> tuple[str, float | None]:
    """Whether a guardrail holds now, was ever broken, or cannot be told.

    Broken stays broken; that it holds must be so at this look: a guardrail that held in the morning
    says nothing of a regression at noon.
    """
    holds, broken = (run.seen(contrast.arm, contrast.metric, n) for n in ("holds", "broken"))
    if broken.decided_at is not None:
        return WORSE, broken.decided_at
    return (HOLDS, holds.decided_at) if holds_now(run, contrast) else (NOT_YET, None)


def holds_now(run: Run, contrast: Contrast) -> bool:
    """Whether all that was counted says that a guardrail is not worse by more than its margin."""
    frame, counts = contrast.total(run)
    null = next(one for one in nulls_of(contrast) if one.name == "holds")
    level = log_evidence(frame.values, counts, null.value, frame.lower, frame.upper, null.side)
    return bool(level >= null.threshold)


def once_held(run: Run, contrast: Contrast) -> list[str]:
    """That a guardrail held before and does not now, in words."""
    held = run.seen(contrast.arm, contrast.metric, "holds").decided_at is not None
    return ["held before and does not now: the difference changed"] if held else []


def discoveries(log_evidence: Sequence[float], alpha: float) -> list[bool]:
    """The e-BH procedure (Wang and Ramdas, JRSS-B 2022): which of K e-values to believe so that at
    most alpha of those believed are wrong, whatever their dependence.

    The k largest with k e_[k] / K >= 1 / alpha.
    """
    k = len(log_evidence)
    order = sorted(range(k), key=lambda at: -log_evidence[at])
    count = 0
    for rank, at in enumerate(order, 1):
        if log_evidence[at] >= math.log(k / (rank * alpha)):
            count = rank
    return [at in set(order[:count]) for at in range(k)]


def believed(lines: Sequence[Line], alpha: float) -> list[Line]:
    """The lines with the verdicts that e-BH allows over all of them."""
    found = discoveries([line.log_evidence or 0.0 for line in lines], alpha)
    return [
        replace(line, verdict=_word(line)) if sure else line
        for line, sure in zip(lines, found, strict=True)
    ]


def _word(line: Line) -> str:
    if line.good == "none":
        return "higher" if line.estimate > 0 else "lower"
    return BETTER if (line.estimate > 0) == (line.good == "high") else WORSE


def events_needed(
    frame: Frame, counts: Floats, nulls: Sequence[tuple[float, float]]
) -> float | None:
    """How many events like these a decision takes: every (null, threshold) must be refuted. None
    when it is out of sight.

    The log-capital grows in proportion to the events, so its mixture is known at any number.
    """
    total, most = counts.sum(), 0.0
    if not total:
        return None
    for null, threshold in nulls:
        steps = log_capital(frame.values, null, frame.lower, frame.upper)
        with np.errstate(invalid="ignore"):
            capital = np.where(counts[:, None] > 0, counts[:, None] * steps, 0.0).sum(0)
        times = _times(capital, threshold)
        if times is None:
            return None
        most = max(most, times)
    return float(most * total)


def _times(capital: Floats, threshold: float) -> float | None:
    if mixed(_FARTHEST * capital) < threshold:
        return None
    low, high = 0.0, _FARTHEST
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if mixed(middle * capital) >= threshold else (middle, high)
    return high


def forecast(run: Run, contrast: Contrast, estimate: float) -> float | None:
    """Events until a decision at the present effect: which side of 0, or within the margin."""
    experiment = contrast.experiment
    frame, counts = contrast.total(run)
    level = math.log(1 / experiment.alpha)
    ways: list[list[tuple[float, float]]] = [[(0.0, level)]]
    if experiment.margin is not None and abs(estimate) < experiment.margin:
        ways.append([(-experiment.margin, level), (experiment.margin, level)])
    needed = [n for way in ways if (n := events_needed(frame, counts, way)) is not None]
    return max(0.0, min(needed) - float(counts.sum())) if needed else None


def short_word(verdict: str) -> str:
    """A verdict as a label: one of few words."""
    if verdict.startswith("invalid"):
        return "invalid"
    known = {EQUIVALENT: "equivalent", HOLDS: "not_worse", BETTER: BETTER, WORSE: WORSE}
    return known.get(verdict, "not_yet")


def why_invalid(verdict: str) -> str:
    """The word for why a verdict is invalid, "" for one that is not."""
    found = (word for word, said in INVALID.items() if verdict.startswith(f"invalid ({said}"))
    return next(found, "")


def words_of_odds(log_evidence: float) -> str:
    """Evidence as odds that a person can read."""
    if log_evidence < 0:
        return "none"
    return f"{math.exp(log_evidence):,.0f} to 1" if log_evidence < 20 else "over 10^8 to 1"


def reversed_slices(whole: float, slices: Mapping[str, float]) -> bool:
    """Simpson's reversal: every slice says the opposite of the whole."""
    signs = {math.copysign(1, one) for one in slices.values() if one}
    return len(slices) > 1 and bool(whole) and signs == {-math.copysign(1, whole)}


def _seen(run: Run, arm: str, metric: str, *nulls: str) -> bool:
    return any(run.seen(arm, metric, null).decided_at is not None for null in nulls)
