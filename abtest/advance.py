"""A run moves on by closed panes, in the order of request start, each counted once.

What is decided is decided pane by pane, whatever the number of panes that came together: a
reader who looks once a day and one who looks every second see the same verdicts.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from abtest.batch import Batch, Piece
from abtest.observe import draw, observe
from abtest.run import Run, Stage
from agent.experiments import Experiment
from agent.packing import open_row, read_words
from agent.store.reads import StoredPane
from agent.summaries import BoundedHistogram

# The versions of metrics by the digest of a panel.
Panels = Mapping[str, Mapping[str, str]]


def advance(
    run: Run,
    experiment: Experiment,
    panes: Sequence[StoredPane],
    known: Panels,
    source: str,
    through: float,
    drawing: bool = True,
) -> list[Run]:
    """Add the closed panes of a source in [reached, through); the runs that this came to.

    The last is the one that goes on; those before it were ended by a changed model or scorer.
    Without `drawing` the picture is not gone on with.
    """
    runs = [run]
    for why, pieces in _stretches(run, experiment, _pieces(run, experiment, panes), known):
        if why:
            number, reached = run.number + len(runs), dict(run.reached)
            runs.append(Run(number, run.declared, run.definition, why=why, reached=reached))
        _begin(runs[-1], pieces, known, experiment)
        _add(runs[-1], experiment, pieces, drawing)
    before = max(run.reached.values(), default=-math.inf)
    ramp = experiment.steps_before(before) if run.ramp is None else run.ramp
    ramp = ramp + [step for step in experiment.steps_before(through) if step[0] >= before]
    for one in runs:
        one.reached[source], one.ramp = through, list(ramp)
    return runs


def _pieces(run: Run, experiment: Experiment, panes: Sequence[StoredPane]) -> list[Piece]:
    found = []
    starts = [at for at, _ in experiment.epochs()]
    end = float("inf") if experiment.end is None else experiment.end
    for pane in panes:
        group, last = pane.group, pane.pane + pane.level_s
        arm = experiment.arm_of(group.variant, group.model)
        epoch = sum(at <= pane.pane for at in starts) - 1
        if arm is None or epoch < 0 or last > end:
            continue  # only whole panes: what was asked before the start is not in it
        row = open_row(pane.blob)
        piece = Piece(pane.pane, last, epoch, arm, group.segment, group.model, row)
        if sum(at < last for at in starts) - 1 > epoch:
            run.skip("pane in which a share changed", piece.calls if piece.whole else 0)
            continue
        found.append(piece)
    return sorted(found, key=lambda piece: (piece.at, piece.arm, piece.segment, piece.model))


def _add(run: Run, experiment: Experiment, pieces: Sequence[Piece], drawing: bool) -> None:
    """Count pieces, cut where a stage of the run ends: at a pane, whatever came together."""
    part: list[Piece] = []
    for _, mine in _by_pane(pieces):
        if part and _stage_ends(run, experiment, part, mine[0].epoch):
            _count(run, experiment, part, drawing)
            part = []
        if not part and _stage_ends(run, experiment, [], mine[0].epoch):
            _next_stage(run, experiment, mine[0].epoch)
        part += mine
    if part:
        _count(run, experiment, part, drawing)


def _count(run: Run, experiment: Experiment, pieces: Sequence[Piece], drawing: bool) -> None:
    batch = Batch.make(pieces, len(run.stages) - 1)
    observe(run, experiment, batch)
    if drawing:
        draw(run, experiment, batch)
    for key, (stacks, _) in sorted(batch.stacks.items()):
        run.add(key, stacks.summed())


# So many calls of the control tell where a metric lies well enough to centre it. 2026-11-24: after
# 200 the guess before it took a third more calls to a decision than after 20.
_CENTRE_CALLS = 20


def _stage_ends(run: Run, experiment: Experiment, part: Sequence[Piece], epoch: int) -> bool:
    if not run.stages or run.stages[-1].epoch != epoch:
        return True
    if run.stages[-1].settled:
        return False
    control = experiment.control
    calls = run.over_stages(control).calls.total()
    calls += sum(piece.calls for piece in part if piece.whole and piece.arm == control)
    return calls >= _CENTRE_CALLS


def _next_stage(run: Run, experiment: Experiment, epoch: int) -> None:
    """A stage's centres are means of the control before it: of this run, else of the last stage."""
    control = run.over_stages(experiment.control)
    centres = dict(run.stages[-1].centres) if run.stages else {}
    settled = experiment.paired or control.calls.total() >= _CENTRE_CALLS
    if control.calls.total() >= _CENTRE_CALLS:
        centres |= {
            name: min(max(summary.mean() or 0.0, 0.001), 0.999)
            for name, summary in control.summaries.items()
            if isinstance(summary, BoundedHistogram) and summary.n
        }
    run.stages.append(Stage(epoch, centres, settled))


def _by_pane(pieces: Sequence[Piece]) -> Iterator[tuple[int, list[Piece]]]:
    for at, mine in itertools.groupby(pieces, key=lambda piece: piece.at):
        yield at, list(mine)


def _stretches(
    run: Run, experiment: Experiment, pieces: Sequence[Piece], known: Panels
) -> Iterator[tuple[str, list[Piece]]]:
    """Pieces cut where a model or a scorer changed, each with the reason ("" for the first)."""
    versions, models = dict(run.versions), {arm: dict(m) for arm, m in run.models.items()}
    stretch: list[Piece] = []
    why = ""
    for _, mine in _by_pane(pieces):
        now = _versions(mine, experiment, known)
        if len(now) > 1:
            run.skip("pane in which a scorer changed", sum(_models(mine).values()))
            continue
        changed = _changed(versions, models, _models(mine), now[0] if now else {})
        if changed:
            if stretch:
                yield why, stretch
            why, stretch, versions, models = changed, [], {}, {}
        versions = versions or dict(now[0] if now else {})
        for (arm, model), calls in _models(mine).items():
            held = models.setdefault(arm, {})
            held[model] = held.get(model, 0) + calls
        stretch += mine
    if stretch:
        yield why, stretch


def _versions(
    pieces: Sequence[Piece], experiment: Experiment, known: Panels
) -> list[dict[str, str]]:
    """The versions of the metrics that decide, each set that the calls of a pane were scored by."""
    metrics = (experiment.primary, *experiment.guardrails)
    found: list[dict[str, str]] = []
    for piece in pieces:
        for digest in read_words(piece.row.panels):
            mine = {m: v for m, v in known.get(digest, {}).items() if m in metrics}
            if mine not in found:
                found.append(mine)
    return found


def _models(pieces: Sequence[Piece]) -> dict[tuple[str, str], int]:
    """Calls by arm and model, of whole arms and of calls rather than pairs."""
    found: dict[tuple[str, str], int] = {}
    for piece in pieces:
        if piece.whole:
            key = piece.arm, piece.model
            found[key] = found.get(key, 0) + piece.calls
    return found


# A model with this share of an arm's calls belongs to it; others pass by, but seldom (.05^3) so
# many of them with none that belongs.
_BELONGS, _TELLING_CALLS = 0.05, 3


def established(models: Mapping[str, int]) -> set[str]:
    """The models that an arm consists of."""
    total = sum(models.values())
    return {model for model, calls in models.items() if calls >= _BELONGS * total}


def _changed(
    versions: Mapping[str, str],
    models: Mapping[str, Mapping[str, int]],
    seen: Mapping[tuple[str, str], int],
    now: Mapping[str, str],
) -> str:
    for metric, version in sorted(now.items()):
        if metric in versions and versions[metric] != version:
            return f"scorer of {metric} changed"
    for arm in sorted({arm for arm, _ in seen}):
        mine = {model: calls for (one, model), calls in seen.items() if one == arm}
        known = established(models.get(arm, {}))
        if known and not known & set(mine) and sum(mine.values()) >= _TELLING_CALLS:
            return f"model of {arm} changed to {', '.join(sorted(mine))}"
    return ""


def _begin(run: Run, pieces: Sequence[Piece], known: Panels, experiment: Experiment) -> None:
    if run.began is None:
        run.began = float(pieces[0].at)
    for versions in _versions(pieces, experiment, known)[:1]:
        run.versions = run.versions or versions
    for (arm, model), calls in _models(pieces).items():
        held = run.models.setdefault(arm, {})
        held[model] = held.get(model, 0) + calls
