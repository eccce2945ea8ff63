"""Code in answers: taken out, compiled, tested, and read by ruff and bandit."""

import importlib.util
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.errors import BadConfig
from agent.record import NOT_MEANT
from suites import checks
from suites.checks import Terms, code, linters
from suites.checks.programs import assertions_of, code_of, program_of
from suites.sandbox import outside
from suites.sandbox.outside import Ran
from tests.suited import checked, item, values

ADD = "def add(a, b):\n    return a + b\n"
FENCED = f"Here you are:\n\n```python\n{ADD}```\n\nUse it so:\n\n```python\nprint(add(1, 2))\n```"
TESTS = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"]


@pytest.mark.parametrize(
    ("answer", "entry", "wanted"),
    [
        (ADD, None, ADD), (FENCED, None, ADD), (FENCED, "add", ADD),
        ("```\nx = 1\n```", None, "x = 1\n"), ("```python\nx = 1", None, "x = 1"),
        ("~~~py\nx = 1\n~~~", None, "x = 1\n"), ("```js\nlet x = 1\n```", None, None),
        (f"```js\nx\n```\n```python\nprint(1)\n```\n```python\n{ADD}```", "add", ADD),
        ("Gladly: ```python\nx = 1\n```", None, "x = 1\n"),
        ("Use `x` and\n```\ny\n```", None, "y\n"),
        ("  ```python\nx = 1\n  ```", None, "x = 1\n"),
    ],
)  # fmt: skip
def test_the_code_of_an_answer(answer: str, entry: str | None, wanted: str | None) -> None:
    assert code_of(answer, entry) == wanted


def test_an_answer_that_goes_on_from_the_prompt_is_run_behind_it() -> None:
    asked = item(prompt='def add(a, b):\n    """The sum."""\n', entry="add")
    assert program_of(asked, "    return a + b\n") == (
        'def add(a, b):\n    """The sum."""\n    return a + b\n'
    )
    assert program_of(asked, ADD) == ADD
    assert program_of(item(entry="add"), "x = 1") == "x = 1"


def test_the_tests_of_an_item() -> None:
    assert assertions_of(item()) is None
    assert assertions_of(item(tests=TESTS)) == "\n".join(TESTS)
    check = "def check(candidate):\n    assert candidate(1, 2) == 3"
    assert assertions_of(item(tests=check, entry="add")) == f"{check}\n\ncheck(add)\n"
    assert assertions_of(item(tests=f"{check}\ncheck(add)", entry="add")) == f"{check}\ncheck(add)"


def test_right_code_passes_and_wrong_code_does_not() -> None:
    items = [item(f"t:{at}", tests=TESTS, entry="add") for at in range(7)]
    texts = [
        FENCED, ADD.replace("+", "-"), "```python\ndef add(a, b)\n```", "I cannot do that.", "",
        None, "```js\nlet x\n```",
    ]  # fmt: skip
    found = checked("code", [*items, item("t:9")], [*texts, "x = 1"])
    whys = ["too_short", "no_response", "other_language"]
    assert values(found["code_compiles"]) == [1.0, 1.0, 0.0, 0.0, *whys, 1.0]
    # Whatever is no Python passes no test.
    assert values(found["code_tests_pass"]) == [1.0, 0.0, 0.0, 0.0, *whys[:2], 0.0, NOT_MEANT]
    long = checked("code", [item(tests=TESTS), item()], [ADD + "#" * 100_000] * 2)
    assert values(long["code_tests_pass"]) == [0.0, NOT_MEANT]


def test_code_is_never_run_where_it_cannot_be_locked_in(monkeypatch: pytest.MonkeyPatch) -> None:
    left_open: Any = {"open": ["network"], "walls": [], "ended": "exit", "wall_s": 0, "cpu_s": 0}
    monkeypatch.setattr(outside, "_report_of", lambda job, output: left_open)
    with pytest.raises(BadConfig, match="leaves network open"):
        checks.load("code", Terms())
    weak = checks.load("code", Terms(weak_sandbox=True))
    assert values(weak.check([item()], [None])["code_compiles"]) == ["not_asked"]


def test_a_sandbox_that_fails_costs_one_answer_and_not_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = outside.run

    def lost(parts: Any, *more: Any) -> Ran:
        if "poison" in parts[0][1]:
            raise BadConfig("allow_weak_sandbox", "leaves everything open")
        return real(parts, *more)

    monkeypatch.setattr(code, "run", lost)
    found = checked("code", [item(tests=TESTS)] * 2, [ADD, "poison = 1"])
    assert values(found["code_tests_pass"]) == [1.0, "sandbox_failed"]


def test_the_same_code_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[object] = []

    def note(parts: object, limits: object, walls: object) -> Ran:
        ran.append(parts)
        return Ran("exit", True, True, None, "", 0.0, 0.0, (), ())

    monkeypatch.setattr(code, "run", note)
    checked("code", [item(tests=TESTS)] * 3, [ADD, ADD, f"{ADD}\n"])
    assert len(ran) == 1 + 2, "one to see whether it can, and each programme"


def test_findings_cost_quality_and_no_answer_can_silence_them() -> None:
    clean = '"""Sums."""\n\n\ndef add(a: int, b: int) -> int:\n    return a + b\n'
    messy = "import os, sys\ndef f(x):\n    y = undefined\n    return x\n"
    hush = "noqa"
    silenced = f"# ruff: {hush}\n" + messy.replace("\n", f"  # {hush}\n")
    row = checked("code_quality", [item()] * 4, [clean, messy, silenced, "def f(:"])["code_quality"]
    assert row[0].value == 1.0 and row[1].value == 0.5
    assert row[2].value == pytest.approx(1 - 2 / 5), "its own comment is a line too"
    assert row[3].why == "does_not_parse"


def test_holes_cost_security_by_their_severity() -> None:
    texts = [
        ADD,
        "import subprocess\nsubprocess.run('ls ' + input(), shell=True)  # nosec\n",
        "def f(x):\n    return eval(x)\n",
        "assert 1 == 1\n",
        "def f(:",
    ]
    row = checked("code_security", [item()] * 5, texts)["code_security"]
    assert values(row) == [1.0, 0.0, 0.5, 1.0, "does_not_parse"]


def test_a_text_on_which_a_tool_fails_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.run

    def fail(command: list[str], **more: Any) -> Any:
        if any("poison" in path.read_text() for path in Path(more["cwd"]).iterdir()):
            raise subprocess.CalledProcessError(2, command)
        return real(command, **more)

    monkeypatch.setattr(subprocess, "run", fail)
    assert linters.ruff(["x = 1\n", "poison = 1\n", "y = undefined\n"]).keys() == {0, 2}
    row = checked("code_quality", [item()] * 2, ["x = 1\n", "poison = 1\n"])["code_quality"]
    assert values(row) == [1.0, "tool_failed"]


def test_a_tool_that_is_away_is_said_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadConfig, match=r"bandit is not there: install vedette\[evaluate\]"):
        checks.load("code_security", Terms())
