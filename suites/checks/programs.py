"""The programme in an answer: what of the text is code, and what it takes to test it."""

import json
import re

from suites.record import Item

# A fence, the language that it names, and what stands in it; the last one may be left open.
_FENCED = re.compile(r"(```|~~~)[ \t]*([\w+#-]*)[^\n`~]*\n(.*?)(?:^[ \t]*\1|\Z)", re.M | re.S)
_PYTHON = ("", "python", "python3", "py")
# Longer than any function that one is asked for.
MOST_CHARS = 100_000


def code_of(answer: str, entry: str | None = None) -> str | None:
    """The Python code of an answer: the first fenced block that defines `entry`, else the first
    one; the whole answer where nothing is fenced; None where all that is fenced is something else.
    """
    blocks = [(found[2].lower(), found[3]) for found in _FENCED.finditer(answer)]
    if not blocks:
        return answer
    python = [body for language, body in blocks if language in _PYTHON]
    if not python:
        return None
    return next((body for body in python if entry and defines(body, entry)), python[0])


def defines(code: str, entry: str) -> bool:
    """Whether code has a function or class of this name at its top level."""
    return re.search(rf"^(?:async def|def|class)\s+{re.escape(entry)}\b", code, re.M) is not None


def program_of(item: Item, answer: str) -> str | None:
    """The code of an answer as it is run: behind the prompt's own code where it goes on from it.

    The fact `entry` names what the code has to define.
    """
    entry = item.facts.get("entry")
    code = code_of(answer, entry)
    if code is None or entry is None or defines(code, entry):
        return code
    start = code_of(item.call.prompt or "", entry) or ""
    return f"{start.rstrip()}\n{code}" if defines(start, entry) else code


def assertions_of(item: Item) -> str | None:
    """The tests of an item: its fact `tests`, a text or a list of statements.

    Tests that define `check(candidate)` and do not call it are called with `entry`.
    """
    told, entry = item.facts.get("tests"), item.facts.get("entry")
    if told is None:
        return None
    tests = _joined(told)
    if entry and re.search(r"^def check\(", tests, re.M) and not _called(tests):
        tests += f"\n\ncheck({entry})\n"
    return tests


def _called(tests: str) -> bool:
    return re.search(r"^check\(", tests, re.M) is not None


def _joined(told: str) -> str:
    try:
        found = json.loads(told)
    except (ValueError, RecursionError):
        return told
    return "\n".join(map(str, found)) if isinstance(found, list) else told
