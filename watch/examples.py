"""Calls to look at when what is asked or answered became another: ids, and words they share."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent.experiments import ASIDE
from agent.findings import Finding
from agent.panes import HOUR_S, MINUTE_S
from agent.store import Transaction, examples
from agent.store.examples import NOVELTY, Example
from agent.store.findings import findings_of
from watch.series import WHOLE

_NAMED, _WORDS = 5, 5
_FACTS = ("examples", "words")
# Of a long time the newest calls are read.
_CALLS = 5000
# A word that is named stands in so much larger a part of the examples than of those before, and
# in two of them at least.
_LARGER, _TWICE = 0.2, 2
_WORD, _REDACTED = re.compile(r"[^\W\d_]{3,}"), re.compile(r"\[[A-Z]+\]")


def with_examples(tx: Transaction, found: Sequence[Finding]) -> list[Finding]:
    """Findings of drift; those of novelty name the calls that are furthest out since their onset.

    What was named when one began stays named. `words` is empty without a reservoir.
    """
    mine = {one.key: one for one in found if _is_new_topic(one)}
    facts = {one.key: dict(one.facts) for one in findings_of(tx, list(mine))}
    named = {
        key: {name: facts[key][name] for name in _FACTS}
        if "examples" in facts.get(key, {})
        else _named(tx, one)
        for key, one in mine.items()
    }
    return [
        replace(one, facts=(*one.facts, *named[one.key].items())) if one.key in named else one
        for one in found
    ]


def _is_new_topic(one: Finding) -> bool:
    name = dict(one.name)
    above, view = dict(one.facts)["side"] == "above", name.get("view", "level")
    return name["metric"] in NOVELTY and above and view in ("level", "tail")


def _named(tx: Transaction, one: Finding) -> dict[str, Any]:
    name, since, until = dict(one.name), dict(one.facts)["onset"], one.began + 1
    whose = name["service"], name["metric"]
    held = _of(name, examples.kept(tx, *whose, since - HOUR_S, until))
    new = [example for example in held if example.at >= since]
    known = [example for example in held if example.at < since]
    furthest = new or _of(name, examples.scored(tx, *whose, since, until + MINUTE_S, _CALLS))
    furthest = sorted(furthest, key=lambda example: (-example.value, example.id))
    return {"examples": [example.id for example in furthest[:_NAMED]], "words": words(new, known)}


def _of(name: Mapping[str, str], every: Sequence[Example]) -> list[Example]:
    """The examples that are of a series."""
    key, _, value = name.get("segment", "").partition("=")
    if name["model"] == WHOLE:
        return [example for example in every if not example.variant.startswith(ASIDE)]
    group = name["model"], name["variant"]
    return [
        example
        for example in every
        if (example.model, example.variant) == group
        and (not key or example.segment.get(key) == value)
    ]


def words(new: Sequence[Example], known: Sequence[Example]) -> list[str]:
    """Words in a larger part of the new examples than of those before, the most telling first."""
    if not new or not known:
        return []
    now, then = _parts(one.text for one in new), _parts(one.text for one in known)
    gains = {word: part - then.get(word, 0.0) for word, part in now.items()}
    telling = [w for w, gain in gains.items() if gain >= _LARGER and now[w] * len(new) >= _TWICE]
    return sorted(telling, key=lambda word: (-gains[word], word))[:_WORDS]


def _parts(texts: Iterable[str]) -> dict[str, float]:
    """Which part of some texts each word stands in."""
    counts, n = Counter[str](), 0
    for text in texts:
        counts.update(set(_WORD.findall(_REDACTED.sub(" ", text).lower())))
        n += 1
    return {word: count / n for word, count in counts.items()}
