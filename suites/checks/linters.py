"""Ruff and bandit over the code of answers: read as text, by rules that no answer can change."""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.errors import BadConfig
from agent.record import Call, Score, unscored
from suites.checks import Terms, check
from suites.checks.code import program
from suites.record import Item

# Errors, undefined and unused names, likely bugs, needless complexity; style is left to formatters.
_RUFF = ("ruff", "check", "--isolated", "--no-cache", "--no-respect-gitignore", "--ignore-noqa",
         "--output-format=json", "--exit-zero", "--quiet", "--target-version=py311",
         "--select=E4,E7,E9,F,B,C4,C90,PLE,PLW,SIM,RET,PERF", ".")  # fmt: skip
# B101 is `assert`: of a programme's tests, and no hole in a function.
_BANDIT = ("bandit", "--ignore-nosec", "--format=json", "--quiet", "--exit-zero", "--skip=B101",
           "--recursive", ".")  # fmt: skip
_WEIGHT = {"HIGH": 1.0, "MEDIUM": 0.5, "LOW": 0.1}
_LIMIT_S = 300.0
_NO_PYTHON, _TOOL_FAILED = unscored("does_not_parse"), unscored("tool_failed")
Found = dict[int, list[dict[str, Any]] | None]


@check("code_quality")
class Quality:
    """The share of the lines with code that no finding of ruff begins on."""

    metrics: tuple[str, ...] = ("code_quality",)

    def __init__(self, terms: Terms) -> None:
        self.version = f"1+{_there('ruff')}"

    def check(
        self, items: Sequence[Item], calls: Sequence[Call | None]
    ) -> Mapping[str, Sequence[Score]]:
        return {"code_quality": _scored(items, calls, ruff, _clean)}


@check("code_security")
class Security:
    """1 less the weights of what bandit finds, 0 at least: 1 for a finding of high severity, 0.5
    for a medium and 0.1 for a low one."""

    metrics: tuple[str, ...] = ("code_security",)

    def __init__(self, terms: Terms) -> None:
        self.version = f"1+{_there('bandit')}"

    def check(
        self, items: Sequence[Item], calls: Sequence[Call | None]
    ) -> Mapping[str, Sequence[Score]]:
        return {"code_security": _scored(items, calls, bandit, _secure)}


def _there(tool: str) -> str:
    """The version of a tool; raises BadConfig where it is not installed."""
    if importlib.util.find_spec(tool) is None:
        raise BadConfig(f"checks.{tool}", f"{tool} is not there: install vedette[evaluate]")
    return f"{tool} {importlib.metadata.version(tool)}"


def _scored(
    items: Sequence[Item], calls: Sequence[Call | None], tool: Any, rule: Any
) -> list[Score]:
    found = [program(*pair) for pair in zip(items, calls, strict=True)]
    codes = list(dict.fromkeys(one for one in found if isinstance(one, str)))
    findings = tool(codes)
    score_of = {
        code: _TOOL_FAILED if at not in findings
        else _NO_PYTHON if findings[at] is None
        else rule(code, findings[at])
        for at, code in enumerate(codes)
    }  # fmt: skip
    return [score_of[one] if isinstance(one, str) else one for one in found]


def _clean(code: str, findings: Sequence[Mapping[str, Any]]) -> Score:
    lines = sum(bool(line.strip()) for line in code.splitlines())
    bad = {finding["location"]["row"] for finding in findings}
    return Score(1 - min(len(bad), lines) / lines) if lines else Score(1.0)


def _secure(code: str, findings: Iterable[Mapping[str, Any]]) -> Score:
    weighed = sum(_WEIGHT.get(finding["issue_severity"], 0.0) for finding in findings)
    return Score(max(0.0, 1 - weighed))


def ruff(codes: Sequence[str]) -> Found:
    """What ruff finds in each text; None where it is no Python, nothing where ruff failed."""
    return _ran(_RUFF, codes, _of_ruff)


def bandit(codes: Sequence[str]) -> Found:
    """What bandit finds in each text; None where it is no Python, nothing where bandit failed."""
    return _ran(_BANDIT, codes, _of_bandit)


def _of_ruff(said: Any, found: Found) -> None:
    for finding in said:
        at = int(Path(finding["filename"]).stem)
        rows = found[at]
        if finding["code"] in (None, "invalid-syntax"):
            found[at] = None
        elif rows is not None:
            rows.append(finding)


def _of_bandit(said: Any, found: Found) -> None:
    for error in said["errors"]:
        found[int(Path(error["filename"]).stem)] = None
    for finding in said["results"]:
        rows = found[int(Path(finding["filename"]).stem)]
        if rows is not None:
            rows.append(finding)


def _ran(command: Sequence[str], codes: Sequence[str], read: Any) -> Found:
    """The findings of a tool in all texts at once; where that fails, of each half apart."""
    if not codes:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        for at, code in enumerate(codes):
            Path(folder, f"{at}.py").write_text(code, encoding="utf-8", errors="replace")
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", *command], cwd=folder, capture_output=True,
                timeout=_LIMIT_S, check=True, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            found: Found = {at: [] for at in range(len(codes))}
            read(json.loads(done.stdout), found)
            return found
        except (subprocess.SubprocessError, ValueError, KeyError):
            if len(codes) == 1:
                return {}
    middle = len(codes) // 2
    first, second = _ran(command, codes[:middle], read), _ran(command, codes[middle:], read)
    return first | {middle + at: rows for at, rows in second.items()}
