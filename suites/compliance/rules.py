"""Whether answers keep the rules of output."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from agent.scoring import SCANNED_CHARS
from suites.compliance.finding import Finding, some_of
from suites.compliance.settings import Rule
from suites.record import Item, Outcome

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,), "number": (int, float), "integer": (int,), "boolean": (bool,),
    "array": (list,), "object": (dict,), "null": (type(None),),
}  # fmt: skip


def kept(name: str, rule: Rule, items: Sequence[Item], outcome: Outcome) -> Finding:
    """How many answers of a target keep a rule; one that failed is not counted."""
    check = f"rule {name} for {outcome.target}"
    why, ids, n = Counter[str](), [], 0
    for item, call in zip(items, outcome.calls, strict=True):
        if call is None or call.response is None or (rule.tasks and item.task not in rule.tasks):
            continue
        n += 1
        if broken := breach(rule, call.response):
            why[broken] += 1
            ids.append(item.call.id)
    if not n:
        return Finding(check, "could not tell", ("no answer to check",))
    share = (n - len(ids)) / n
    told = [f"{n - len(ids)} of {n} answers keep it ({share:.1%}; {rule.share:.1%} must)"]
    told += [f"{times} {word}" for word, times in sorted(why.items())]
    told += [f"broken by {some_of(ids)}"] if ids else []
    return Finding(check, "pass" if share >= rule.share else "fail", tuple(told))


def breach(rule: Rule, answer: str) -> str | None:
    """How an answer breaks a rule, in a few words; None when it keeps it.

    Patterns and phrases are looked for in the first `SCANNED_CHARS` characters.
    """
    text = answer[:SCANNED_CHARS]
    if rule.chars is not None and len(answer) > rule.chars:
        return f"longer than {rule.chars} characters"
    if rule.match is not None and not re.search(rule.match, text):
        return "without the pattern that must be there"
    if rule.never is not None and re.search(rule.never, text):
        return "with the pattern that must not be there"
    if any(phrase.lower() not in text.lower() for phrase in rule.phrases):
        return "without a phrase that must be there"
    return None if rule.fields is None else _shape(rule.fields, answer)


def _shape(fields: dict[str, Any], answer: str) -> str | None:
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return "that are no JSON"
    if not isinstance(found, dict):
        return "that are no JSON object"
    for key, kind in fields.items():
        if key not in found:
            return f"without the key {key}"
        if not _is_a(found[key], kind):
            return f"whose {key} is no {kind}"
    return None


def _is_a(value: Any, kind: str) -> bool:
    if kind == "any":
        return True
    # In JSON true is no number.
    return isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))
