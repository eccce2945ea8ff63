"""What `vedette evaluate` says of a judge and of compliance, for people."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from abtest.ppi import Estimate
from agent.store import Store, reads
from consumers.cli_terminal import bare_table, say, wide
from suites.compliance.checking import check_run
from suites.compliance.finding import Finding
from suites.judge.calibration import Rate
from suites.judge.readings import Reading, read_labels, readings
from suites.judge.running import load_rubrics
from suites.record import Run
from suites.report.aside import Aside
from suites.suite import Suite


def aside_of(run: Run, suite: Suite, folder: Path, store: Store) -> Aside:
    """What the judge of a suite came to, and its compliance checks."""
    found, rejected, findings = list[Reading](), list[tuple[str, int]](), tuple[Finding, ...]()
    if suite.judge is not None:
        rubrics = load_rubrics(suite.judge, folder)
        labels, refused = read_labels(suite.judge, rubrics, folder)
        found, rejected = list(readings(run, suite.judge, rubrics, labels)), sorted(refused.items())
    if suite.compliance is not None:
        folders = {name: folder / one.folder.expanduser()
                   for name, one in suite.targets.items() if one.folder is not None}  # fmt: skip
        with store.transaction() as tx:  # nobody else writes meanwhile: it is read, and no more
            kept = list(reads.kept_texts(tx))
        stored = {"kept texts of calls": kept, run.name: _texts(run)}
        findings = check_run(run, suite.compliance, folders, stored)
    return Aside(tuple(found), tuple(rejected), findings)


def _texts(run: Run) -> Iterator[str]:
    """Every text that the store keeps of a run, without the secrets that were planted."""
    for at, item in enumerate(run.items):
        call, planted = item.call, item.facts.get("secret")
        said = [call.prompt, call.reference, *call.contexts]
        said += [turn.content for turn in call.messages if turn.content != call.prompt]
        said += [fact for name, fact in item.facts.items() if name != "secret"]
        said += [one.response for one in (each.calls[at] for each in run.outcomes) if one]
        yield from (text.replace(planted, "") if planted else text for text in said if text)


def show_aside(aside: Aside) -> None:
    """For people."""
    show_readings(aside.readings)
    for why, n in aside.rejected:
        say(f"{n} labels are none: {why}")
    show_findings(aside.findings)


def show_readings(found: Sequence[Reading]) -> None:
    """Every estimate of every rubric, and whether the judge can be believed."""
    if not found:
        return
    made = bare_table("judge", "target", "mean", "95 % interval", "judged", "others", "by",
                      words=("judge", "target", "by"))  # fmt: skip
    for one in found:
        for name, estimate in one.estimates.items():
            made.add_row(f"  {one.rubric}: {name}", one.target, *cells(estimate))
    wide.print(made)
    for one in found:
        for line in _remarks(one):
            say(f"{one.rubric} of {one.target}: {line}")


def cells(one: Estimate) -> tuple[str, ...]:
    """An estimate as the cells of a row."""
    told = (_number(one.value), f"[{one.lower:.4f}, {one.upper:.4f}]")
    by = f"{one.method}, weight {one.weight:.2f}" if one.method == "ppi++" else one.method
    return *told, str(one.judged), str(one.others), by


def _remarks(one: Reading) -> list[str]:
    told = []
    if one.canaries is not None:
        told.append(f"{one.canaries:.0%} of {one.canaries_asked} canaries passed")
    if one.distrusted:
        told.append("DISTRUSTED: its verdicts do not count")
    if one.missing:
        told.append("no verdict: " + ", ".join(f"{n} {w}" for w, n in sorted(one.missing.items())))
    if one.position_bias is not None:
        told.append(f"position bias {one.position_bias:+.3f} of the pairs")
    if one.calibration is not None:
        held = one.calibration
        told.append(
            f"against {held.n} labels: agreement {_rate(held.agreement)}, "
            f"kappa {_rate(held.kappa)}, sensitivity {_rate(held.sensitivity)}, "
            f"specificity {_rate(held.specificity)}, length bias {_rate(held.length_bias)}"
        )
    if one.spent is not None:
        usd = one.spent.usd
        money = "no price" if usd is None else f"{usd:.4f} USD"
        told.append(f"asked {one.spent.calls} questions, {one.spent.tokens} tokens, {money}")
    return told


def _rate(one: Rate) -> str:
    return f"{_number(one.value, 3)} [{one.lower:.3f}, {one.upper:.3f}]"


def _number(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def show_findings(found: Sequence[Finding]) -> None:
    """What compliance checks found, and their evidence."""
    for one in found:
        say(f"{one.verdict:<15} {one.check}: {'; '.join(one.evidence)}")
