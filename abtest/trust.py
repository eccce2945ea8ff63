"""Reasons to distrust a readout, in words."""

import math
from collections.abc import Iterable, Mapping, Sequence

from abtest import ratio
from abtest.advance import established
from abtest.contrast import Contrast
from abtest.line import pair_row
from abtest.measure import Measured
from abtest.run import Key, Run
from abtest.wording import moment
from agent.columns import FAILURES
from agent.experiments import Experiment
from agent.findings import Finding
from agent.pairs import CANDIDATE_FAILED, CONTROL_FAILED, LATE, REPEATED, UNMATCHED
from agent.summaries import Counts

_FEW_EVENTS = 100
# A run is kept for the first time within seconds of a start; an hour later its calls can be seen.
_KNOWN_S = 3600.0
_NAMED = 4  # metrics in one sentence
_LEVEL = -math.log(ratio.THRESHOLD)


def run_warnings(run: Run, experiment: Experiment) -> list[str]:
    """What concerns the whole run."""
    found = [f"run {run.number} began anew: {run.why}"] if run.number > 1 else []
    if run.began is not None and run.began < run.declared - _KNOWN_S:
        found.append("declared when its first calls were in: choose metric and margins before")
    found += [f"{n} calls left out: {why}" for why, n in sorted(run.skipped.items())]
    for arm in experiment.arms:
        models = run.models.get(arm, {})
        if not models:
            found.append(f"no calls of {arm} yet")
        elif len(belong := established(models)) > 1:
            found.append(f"{arm} is {len(belong)} models: {', '.join(sorted(belong))}")
    if experiment.paired:
        for arm in experiment.candidates:
            words = pair_row(run, arm).calls.words
            for word, said in (
                (UNMATCHED, "answers of {} have no production call"),
                (LATE, "pairs of {} came too late"),
                (REPEATED, "pairs of {} are of a unit that had one that day"),
            ):
                if words.get(word):
                    found.append(f"{words[word]} {said.format(arm)}")
    return found


def control_warnings(
    found: Iterable[Finding], run: Run, experiment: Experiment, service: str
) -> list[str]:
    """That the control itself drifted while the run went on: then it is no steady baseline."""
    begin = experiment.start if run.began is None else run.began
    mine = [
        one
        for one in found
        if _is_of_control(dict(one.name), experiment, service)
        and _onset(one) < max(run.reached.values(), default=0.0)
        and (one.state != "resolved" or one.as_of > begin)
    ]
    if not mine:
        return []
    named = sorted({dict(one.name)["metric"] for one in mine})
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    said = f"{', '.join(named[:_NAMED])}{more} since {moment(min(map(_onset, mine)))}"
    return [f"{experiment.control}, the control, itself left its baseline while this ran: {said}"]


def _is_of_control(name: Mapping[str, str], experiment: Experiment, service: str) -> bool:
    model = experiment.arms[experiment.control].model
    return (
        (name.get("service"), name.get("variant"))
        == (service, experiment.variant(experiment.control))
        and "segment" not in name
        and model in (None, name.get("model"))
    )


def _onset(one: Finding) -> float:
    return float(dict(one.facts).get("onset", one.began))


def line_warnings(run: Run, contrast: Contrast, measured: Measured, n: int) -> list[str]:
    """What concerns one metric of one candidate."""
    found = []
    if math.isnan(measured.lower):
        found.append("no single difference fits all panes: it changed on the way")
    if n < _FEW_EVENTS:
        found.append(f"only {n} events")
    if _side(measured.lower, measured.upper) != _side(*measured.best):
        low, high = measured.best
        found.append(
            f"depends on failed calls: counted as the best score it is [{low:.4f}, {high:.4f}]"
        )
    return found + (_pair_loss(run, contrast) if contrast.paired else _arm_loss(run, contrast))


def _side(lower: float, upper: float) -> int:
    return (lower > 0) - (upper < 0)


def _pair_loss(run: Run, contrast: Contrast) -> list[str]:
    row = pair_row(run, contrast.arm)
    found = row.summaries.get(contrast.metric)
    words = found.missing.words if found is not None else {}
    lost = [words.get(CONTROL_FAILED, 0), words.get(CANDIDATE_FAILED, 0)]
    if float(ratio.log_imbalance(lost, [0.5, 0.5])) < _LEVEL:
        return []
    return [f"pairs end unevenly: control failed in {lost[0]}, candidate in {lost[1]}"]


def _arm_loss(run: Run, contrast: Contrast) -> list[str]:
    """Scores missing in one arm more than in the other, failures apart: they are counted."""
    level, missing = 0.0, {contrast.experiment.control: 0, contrast.arm: 0}
    for stage, (epoch, _, _) in enumerate(contrast.stages):
        shares = contrast.experiment.epochs()[epoch][1]
        counts = [_unscored(run, key, contrast.metric) for key in contrast.keys(stage)]
        if not any(counts):
            continue
        both = shares[contrast.experiment.control] + shares[contrast.arm]
        chances = [shares[arm] / both for arm in missing]
        level += float(ratio.log_imbalance(counts, chances))
        missing = {arm: missing[arm] + n for arm, n in zip(missing, counts, strict=True)}
    if level < _LEVEL:
        return []
    said = ", ".join(f"{n} of {arm}" for arm, n in missing.items())
    return [f"calls without a score fall on the arms unevenly: {said}"]


def _unscored(run: Run, key: Key, metric: str) -> int:
    row = run.row(key)
    found = None if row is None else row.summaries.get(metric)
    words = Counts() if found is None else found.missing
    aside = sum(words.words.get(word, 0) for word in (*FAILURES, "sampled_out"))
    return words.total() - aside


def joined(*parts: Sequence[str]) -> tuple[str, ...]:
    """Warnings, each once."""
    return tuple(dict.fromkeys(one for part in parts for one in part))
