"""A simulated trial on the long road: panes as a flush stores them, and the run they come to."""

from collections.abc import Iterator, Sequence

import numpy as np

from abtest.advance import advance
from abtest.contrast import contrasts
from abtest.measure import measure
from abtest.run import Run
from agent.experiments import PAIRED, SHADOW, WIN, Experiment
from agent.pairs import Outcome, Pair, paired_row
from agent.panes import Column, Group, PaneBook, RowKey, fold, place
from agent.store.reads import StoredPane
from tests.simulation import CANDIDATE, SCORE, Calls, Pairs, Trial

CONTROL, WIDTH_S = "owl", 10


def experiment_of(trial: Trial) -> Experiment:
    """As the configuration would declare it."""
    if isinstance(trial, Pairs):
        arms = {CONTROL: {}, CANDIDATE: {"variant": SHADOW + CANDIDATE}}
        return Experiment.model_validate(
            {"design": "paired", "arms": arms, "primary": trial.metric, "start": 0.0}
        )
    shares = [{CONTROL: 1 - share, CANDIDATE: share} for _, share in trial.shares]
    steps = [
        {"at": float(look * WIDTH_S), "shares": share}
        for (look, _), share in zip(trial.shares[1:], shares[1:], strict=True)
    ]
    given = {"arms": shares[0], "ramp": steps, "primary": SCORE, "start": 0.0}
    return Experiment.model_validate({"design": "split", **given})


def panes_of(trial: Trial) -> list[StoredPane]:
    """One pane a look."""
    return _pairs(trial) if isinstance(trial, Pairs) else _calls(trial)


def _calls(trial: Calls) -> list[StoredPane]:
    book, lost = PaneBook(groups_max=10), np.isnan(trial.values)
    keys = [
        [RowKey(look * WIDTH_S, Group("chat", "m", CANDIDATE if mine else CONTROL))]
        for look, mine in zip(trial.looks.tolist(), trial.mine.tolist(), strict=True)
    ]
    placed = place(book, keys, ["timeout" if one else "ok" for one in lost.tolist()], "panel")
    column = Column(SCORE, trial.values, lost.astype(np.int16), ("", "timeout"))
    fold(placed, [column], trial.events)
    return [
        StoredPane(key.pane, WIDTH_S, key.group, row.to_bytes()) for key, row in book.take_dirty()
    ]


def _pairs(trial: Pairs) -> list[StoredPane]:
    group, found = Group("chat", "m", PAIRED + CANDIDATE), []
    for look in np.unique(trial.looks).tolist():
        here = np.flatnonzero(trial.looks == look)
        row = paired_row([_pair(trial, at) for at in here.tolist()], group.variant)
        found.append(StoredPane(look * WIDTH_S, WIDTH_S, group, row.to_bytes()))
    return found


def _pair(trial: Pairs, at: int) -> Pair:
    key = int(trial.events[at]).to_bytes(8, "little") + bytes(8)
    a, b = float(trial.control[at]), float(trial.candidate[at])
    if trial.metric.endswith(WIN):  # a trial says who won; so many seconds say the same
        a, b = (2.0, 2.0 - b)
    return Pair(key, _outcome(trial, a), _outcome(trial, b))


def _outcome(trial: Pairs, value: float) -> Outcome:
    metric = trial.metric.removesuffix(WIN)
    if value != value:
        return Outcome("timeout", {}, {metric: "no_response"})
    return Outcome("ok", {metric: value})


def walk(trial: Trial, ends: Sequence[int]) -> Iterator[tuple[int, Run, float]]:
    """A run that is advanced to each of these looks, and its evidence against a difference of 0."""
    run, experiment, panes = Run(), experiment_of(trial), panes_of(trial)
    reached = 0
    for end in ends:
        new = [pane for pane in panes if reached <= pane.pane < end * WIDTH_S]
        (run,) = advance(run, experiment, new, {}, "kafka", float(end * WIDTH_S))
        reached = end * WIDTH_S
        (measured,) = measure(run, list(contrasts(run, experiment, [experiment.primary])))
        yield end, run, measured.log_evidence
