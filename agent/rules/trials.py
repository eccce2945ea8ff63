"""Rules of the experiments: harm to people, and results that are none."""

import re
from collections.abc import Collection, Mapping

from agent.experiments import Experiment
from agent.rules.answers import KEPT
from agent.rules.rule import Alert, Group

# What stops an experiment's alerts is that its arms get no more calls, not that it was forgotten.
_EVENTS = "vedette_experiment_events"
_RUNS = (
    f"max by (experiment) (max_over_time({_EVENTS}[1h]))"
    f" > min by (experiment) (min_over_time({_EVENTS}[1h]))"
)
_READOUT = "`vedette readout {{ $labels.experiment }} -c vedette.yaml`"


def trials(experiments: Mapping[str, Experiment]) -> Group:
    """The rules of the experiments that are kept: looking back is none."""
    kept = {name: one for name, one in experiments.items() if one.design != "observational"}
    split = [name for name, one in kept.items() if not one.paired]
    # A shadow's answers reach nobody: that it is worse is a result and does no harm.
    live = [name for name in split if kept[name].design == "split"]
    alerts = [_harm(live)] if live else []
    alerts += [_ratio(split)] if split else []
    return Group("vedette-experiments", (*alerts, *([_invalid(list(kept))] if kept else [])))


def _among(names: Collection[str]) -> str:
    # Twice escaped: a regular expression within a string of PromQL.
    return 'experiment=~"' + "|".join(re.escape(name).replace("\\", "\\\\") for name in names) + '"'


def _harm(names: Collection[str]) -> Alert:
    worse = f'vedette_experiment_verdict{{verdict="worse",{_among(names)}}}[{KEPT}]'
    arm = _RUNS.replace("(experiment)", "(experiment, arm)")
    return Alert(
        "VedetteExperimentHarm", "critical",
        "the candidate of a split is worse in the primary metric or by more than a guardrail's"
        " margin, and gets calls",
        f"max by (experiment, arm, metric) (last_over_time({worse})) == 1"
        f" and on (experiment, arm) ({arm})", "0m",
        "{{ $labels.arm }} of experiment {{ $labels.experiment }} does harm:"
        " {{ $labels.metric }} is worse",
        "The verdict `worse` holds however often one looks (it is {{ $value | humanize }}).",
        f"People get worse answers than without the experiment. 1. Run {_READOUT}: the effect, its"
        " interval and the reasons to distrust it. 2. Set the share of the arm to 0 where calls"
        " are split, and `end` in the configuration; it ends within an hour of the last call.",
    )  # fmt: skip


def _ratio(names: Collection[str]) -> Alert:
    return _without_result(
        "VedetteSampleRatio", f'reason="sample_ratio",{_among(names)}',
        "calls do not fall on the arms in the shares that were configured",
        "The calls of experiment {{ $labels.experiment }} are not split as configured",
        "Who is in which arm is not chance: no difference between them means anything. 1. Run"
        f" {_READOUT}: the line sample_ratio shows share and counts. 2. Compare `arms` and `ramp`"
        " with what the splitter does: a share that was changed, retries that go to one arm, calls"
        " of one arm that fail before they are logged.",
    )  # fmt: skip


def _invalid(names: Collection[str]) -> Alert:
    return _without_result(
        "VedetteExperimentInvalid", f'reason!="sample_ratio",{_among(names)}',
        "a self-test finds a difference, or a difference changed its sign",
        "Experiment {{ $labels.experiment }} cannot give a result ({{ $labels.reason }})",
        "self_test: two arms of one model differ, so the split or the log is at fault. sign: the"
        f" difference was sure in both directions, so it changed on the way. 1. Run {_READOUT} and"
        " see since when. 2. Begin a new run with another `start`, once the cause is mended.",
    )  # fmt: skip


def _without_result(name: str, which: str, when: str, summary: str, runbook: str) -> Alert:
    invalid = f"last_over_time(vedette_experiment_invalid{{{which}}}[{KEPT}])"
    return Alert(
        name, "warning", when,
        f"max by (experiment, reason) ({invalid}) == 1 and on (experiment) ({_RUNS})", "0m",
        summary, "vedette_experiment_invalid is {{ $value | humanize }} and calls still come.",
        runbook,
    )  # fmt: skip
