"""Whether the code of an answer compiles, and passes the tests of its item."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from agent.errors import BadConfig
from agent.record import Call, Score, unscored
from agent.scoring import NO, NO_RESPONSE, TOO_SHORT, YES
from suites.checks import NOT_ASKED, NOT_FOR_THIS, Terms, check
from suites.checks.programs import MOST_CHARS, assertions_of, program_of
from suites.record import Item
from suites.sandbox.outside import Limits, Wanted, run

OTHER_LANGUAGE, TOO_LONG = unscored("other_language"), unscored("too_long")
_SANDBOX_FAILED = unscored("sandbox_failed")
Parts = tuple[tuple[str, str], ...]


@check("code")
class Code:
    """1 where the Python code of an answer compiles; 1 where it then passes the fact `tests`, which
    an answer in another language, or one that is too long to be run, does not.

    Everything runs in a sandbox (suites/sandbox), with the standard library alone. The mean of
    `code_tests_pass` over items asked once each is pass@1. Raises BadConfig where this machine
    cannot lock code in, unless the task says `allow_weak_sandbox`.
    """

    version = "1"
    metrics: tuple[str, ...] = ("code_compiles", "code_tests_pass")

    def __init__(self, terms: Terms) -> None:
        self._walls = Wanted(weak=terms.weak_sandbox)
        run([("answer", "")], Limits(), self._walls)

    def check(
        self, items: Sequence[Item], calls: Sequence[Call | None]
    ) -> Mapping[str, Sequence[Score]]:
        found = [program(*pair) for pair in zip(items, calls, strict=True)]
        parts = [
            None if isinstance(one, Score) else _parts(item, one)
            for item, one in zip(items, found, strict=True)
        ]
        jobs = list(dict.fromkeys(one for one in parts if one is not None))
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            judged = dict(zip(jobs, pool.map(self._judged, jobs), strict=True))
        rows = [
            (one, _untested(item, one)) if isinstance(one, Score)
            else judged[_parts(item, one)]
            for item, one in zip(items, found, strict=True)
        ]  # fmt: skip
        return {metric: [row[at] for row in rows] for at, metric in enumerate(self.metrics)}

    def _judged(self, parts: Parts) -> tuple[Score, Score]:
        try:
            ran = run(parts, Limits(), self._walls)
        except BadConfig:  # the walls did stand: what failed is this one process
            return _SANDBOX_FAILED, NOT_FOR_THIS if len(parts) == 1 else _SANDBOX_FAILED
        passes = NOT_FOR_THIS if len(parts) == 1 else YES if ran.passed else NO
        return YES if ran.compiles else NO, passes


def _untested(item: Item, why: Score) -> Score:
    """The tests of an answer without a program to run."""
    if assertions_of(item) is None:
        return NOT_FOR_THIS
    return NO if why in (OTHER_LANGUAGE, TOO_LONG) else why


def program(item: Item, call: Call | None) -> str | Score:
    """The code of an answer, or why there is none."""
    if call is None or call.response is None:
        return NOT_ASKED if call is None else NO_RESPONSE
    if not call.response.strip():
        return TOO_SHORT
    code = program_of(item, call.response)
    if code is None:
        return OTHER_LANGUAGE
    return code if len(code) <= MOST_CHARS else TOO_LONG


def _parts(item: Item, code: str) -> Parts:
    tests = assertions_of(item)
    return (("answer", code),) if tests is None else (("answer", code), ("tests", tests))
