"""What `vedette evaluate` concludes of a run: report, gate, and an earlier run beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from agent.buckets import Floats
from agent.errors import BadConfig
from agent.plain import plain
from agent.scoring import Options
from agent.scoring.engine import Engine
from agent.scoring.models import load_embedder
from agent.scoring.relevance import mean_embedding
from agent.store import Store
from consumers.cli_terminal import bare_table, err, say, wide
from suites.analysis.comparison import Contrast
from suites.analysis.series import Change, changes_of, line_of
from suites.analysis.weights import Weighing
from suites.analysis.whole import analyse, since
from suites.gate import Rule, Verdict
from suites.gate.verdicts import verdicts
from suites.keeping import find_run, read_run
from suites.record import Run
from suites.report.aside import Aside
from suites.report.files import check_folder, write_report
from suites.report.page import amount, change
from suites.suite import Suite


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted beside the figures: a folder for the report, the gate, an earlier run."""

    report: Path | None = None
    gate: bool = False
    compare: str | None = None


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What came of it."""

    verdicts: tuple[Verdict, ...] = ()
    before: tuple[Contrast, ...] = ()
    # What of the earlier run was scored otherwise, and the line that says so.
    changes: tuple[Change, ...] = ()
    apart: str = ""
    files: tuple[Path, ...] = ()
    weighing: Weighing = field(default_factory=Weighing)

    @property
    def broken(self) -> tuple[Verdict, ...]:
        """The rules that do not hold."""
        return tuple(one for one in self.verdicts if not one.passed)

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"gate": plain(self.verdicts), "before": plain(self.before),
                "changed_scorers": [one._asdict() for one in self.changes]}  # fmt: skip


def check_wish(wish: Wish, suite: Suite | None, store: Store) -> None:
    """See that it can be done before anything is asked; raises BadConfig where it cannot."""
    if wish.gate:
        _rules(suite)
        if wish.compare is None:
            for name, rule in _rules(suite).items():
                if rule.not_worse is not None and rule.not_worse.than is None:
                    raise BadConfig(f"gate.{name}.not_worse", "without `than` it needs --compare")
    if wish.compare is not None:
        with store.reading() as tx:
            find_run(tx, wish.compare, "--compare")
    if wish.report is not None:
        check_folder(wish.report)


def conclude(run: Run, suite: Suite | None, store: Store, wish: Wish, aside: Aside) -> Conclusion:
    """Judge, compare and report a run; without its suite with the weights of then and no rules.

    Raises BadConfig for what `check_wish` refuses.
    """
    weighing = suite.weighing if suite is not None else Weighing.of(run)
    earlier = _earlier(store, wish.compare, run)
    found: tuple[Verdict, ...] = ()
    if wish.gate:
        found = verdicts(_rules(suite), run, weighing, earlier)
    before = since(run, earlier, weighing) if earlier is not None else ()
    changes = changes_of(run, earlier) if earlier is not None else ()
    apart = line_of(changes, earlier.name) if earlier is not None else ""
    files: tuple[Path, ...] = ()
    if wish.report is not None:
        broken = {one.target for one in found if not one.passed}
        whole = analyse(run, weighing, embed, broken)
        notes = (*whole.notes, *filter(None, [apart]))
        whole = replace(whole, before=before, notes=notes)
        files = write_report(wish.report, whole, found, aside)
    return Conclusion(found, before, changes, apart, files, weighing)


def _earlier(store: Store, name: str | None, run: Run) -> Run | None:
    if name is None:
        return None
    with store.reading() as tx:
        found = read_run(tx, name, "--compare", run.began)
    if found.name == run.name:
        raise BadConfig("--compare", f"{name} is this run itself")
    return found


def _rules(suite: Suite | None) -> dict[str, Rule]:
    if suite is None or not suite.gate:
        raise BadConfig("--gate", "the suite has no rules under `gate`")
    return suite.gate


def embed(texts: Sequence[str]) -> Floats:
    """Unit embeddings [texts, width] of the shipped encoder."""
    model = load_embedder(Options().source("similarity"))
    heads = len(model.labels)  # the embedding stands behind them
    rows = Engine().outputs(model, list(texts))
    return np.stack([mean_embedding(one[:, heads:]) for one in rows]).astype(np.float64)


def show_conclusion(found: Conclusion) -> None:
    """For people: differences, rules that hold by chance only, and where the report is."""
    for target in dict.fromkeys(one.theirs for one in found.before):
        mine = [one for one in found.before if one.theirs == target]
        made = bare_table(f"minus {target}", mine[0].ours, "then", "difference", "interval",
                          "better", words=(f"minus {target}", "better"))  # fmt: skip
        for one in mine:
            made.add_row(*_cells(one))
        wide.print(made)
    if found.apart:
        say(found.apart)
    for verdict in found.verdicts:
        if verdict.passed and verdict.doubt:
            say(f"gate holds: {verdict.said}")
    if found.verdicts and not found.broken:
        say(f"gate: all {len(found.verdicts)} rules hold")
    for path in found.files[:1]:
        say(f"report: {path}")


def show_broken(found: Conclusion) -> None:
    """One line a broken rule, on stderr: machines read what is on stdout."""
    for verdict in found.broken:
        err.print(f"gate: {verdict.said}", markup=False, highlight=False, soft_wrap=True)


def _cells(one: Contrast) -> Iterator[str]:
    yield f"  {one.task}/{one.label}" if one.task else f"  {one.label}"
    yield amount(one.ours_mean, one.unit)
    yield amount(one.theirs_mean, one.unit)
    yield change(one.difference.mean, one.unit)
    lower, upper = change(one.difference.lower, one.unit), change(one.difference.upper, one.unit)
    yield f"[{lower}, {upper}]"
    yield "now" if one.better == one.ours else "then" if one.better else one.undecided
