"""A report as files in a folder: report.html, report.json, junit.xml and the pictures as PNG."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from agent.errors import BadConfig
from agent.plain import plain
from suites.analysis.whole import Analysis, Measured
from suites.gate import Verdict
from suites.report.aside import Aside
from suites.report.page import amount, render
from suites.report.paint import LIGHT, letters
from suites.report.pictures import pictures_of

# Raised when a key of the JSON changes its meaning or goes away; docs/report.md lists the keys.
SCHEMA = 1
_NOTHING = Aside()


def check_folder(folder: Path) -> None:
    """Make the folder of a report; raises BadConfig where it or its pictures cannot be made."""
    with letters(LIGHT):
        pass
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadConfig("report", f"cannot make {folder}: {error.strerror}") from None


def write_report(
    folder: Path,
    analysis: Analysis,
    verdicts: Sequence[Verdict] = (),
    aside: Aside = _NOTHING,
) -> tuple[Path, ...]:
    """Make the files, the page first; raises BadConfig where they cannot be made."""
    check_folder(folder)
    pictures = pictures_of(analysis)
    made: dict[str, bytes] = {
        "report.html": render(analysis, pictures, verdicts, aside).encode(),
        "report.json": as_json(analysis, verdicts, aside).encode(),
        "junit.xml": as_junit(analysis, verdicts),
        **{f"{name}.png": picture.png for name, picture in pictures.items()},
    }
    try:
        for name, data in made.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise BadConfig("report", f"cannot write {folder}: {error.strerror}") from None
    return tuple(folder / name for name in made)


def as_json(analysis: Analysis, verdicts: Sequence[Verdict] = (), aside: Aside = _NOTHING) -> str:
    """Everything that the page is made of; a number that there is not is null."""
    tree = {"schema": SCHEMA, **plain(analysis), "gate": plain(tuple(verdicts))} | as_tree(aside)
    return json.dumps(tree, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def as_tree(aside: Aside) -> dict[str, Any]:
    """How the judge did and what compliance found, as plain data."""
    return {
        "judge": plain(aside.readings),
        "labels_rejected": dict(aside.rejected),
        "compliance": plain(aside.findings),
    }


def as_junit(analysis: Analysis, verdicts: Sequence[Verdict] = ()) -> bytes:
    """A suite a target: a case a rule of the gate, and one a metric of a task that has no rule.

    A metric without any value is skipped; a rule without one has failed.
    """
    root = ElementTree.Element("testsuites", name=clean(analysis.name))
    for standing in analysis.standings:
        rules = [one for one in verdicts if one.target == standing.target]
        ruled = {one.score for one in rules}
        metrics = [one for one in analysis.metrics if one.target == standing.target
                   and not ruled & {one.metric, f"{one.task}/{one.metric}"}]  # fmt: skip
        suite = ElementTree.SubElement(
            root, "testsuite", name=clean(standing.target), tests=str(len(rules) + len(metrics)),
            failures=str(sum(not one.passed for one in rules)), errors="0",
            skipped=str(sum(not one.figure.n for one in metrics)),
        )  # fmt: skip
        for rule in rules:
            _rule(suite, rule)
        for metric in metrics:
            _metric(suite, metric)
    ElementTree.indent(root)
    made: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return made


def _rule(suite: ElementTree.Element, one: Verdict) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=clean(one.target), name=clean(f"{one.score} {one.rule}")
    )
    if not one.passed:
        ElementTree.SubElement(case, "failure", message=clean(one.said), type="gate")
    else:
        ElementTree.SubElement(case, "system-out").text = clean(one.said)


def _metric(suite: ElementTree.Element, one: Measured) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=clean(one.target), name=clean(f"{one.task}/{one.metric}")
    )
    figure = one.figure
    if not figure.n:
        why = ", ".join(f"{n} {word}" for word, n in one.reasons.items())
        ElementTree.SubElement(case, "skipped", message=clean(why or "no value"))
        return
    low, high = amount(figure.lower, one.unit), amount(figure.upper, one.unit)
    text = f"{amount(figure.mean, one.unit)} [{low}, {high}], n = {figure.n}"
    ElementTree.SubElement(case, "system-out").text = text


def clean(text: str) -> str:
    """The text without what XML 1.0 cannot hold (section 2.2)."""
    return "".join(
        c for c in text
        if c in "\t\n\r" or "\x20" <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
    )  # fmt: skip
