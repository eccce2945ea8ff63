"""Every compliance check over one run."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from suites.compliance.card import card_of
from suites.compliance.finding import Finding
from suites.compliance.licence import licence_of
from suites.compliance.privacy import in_answers, in_dataset, in_store
from suites.compliance.rules import kept
from suites.compliance.settings import Compliance
from suites.record import Run


def check_run(
    run: Run,
    told: Compliance,
    folders: Mapping[str, Path],
    stored: Mapping[str, Iterable[str]],
) -> tuple[Finding, ...]:
    """What the checks find: `folders` of the targets that are local, `stored` texts by what they
    are."""
    found = [in_dataset(run.items)]
    for outcome in run.outcomes:
        found.append(in_answers(run.items, outcome))
    found += [in_store(what, texts) for what, texts in stored.items()]
    for outcome in run.outcomes:
        folder = folders.get(outcome.target)
        found.append(licence_of(outcome.target, folder, told.licences))
        found.append(card_of(outcome.target, folder, told.card))
    for name, rule in told.answers.items():
        found += [kept(name, rule, run.items, outcome) for outcome in run.outcomes]
    return tuple(found)
