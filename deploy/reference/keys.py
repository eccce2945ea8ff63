"""The configuration as a page: every key with its type, default, variable and sentence."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent.described import schema

_BOUNDS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
}
_BRANCHES = {"": "mapping", ".<name>": "mapping by name", "[]": "list"}


@dataclass(frozen=True)
class Key:
    """A leaf of the tree; `path` has `<name>` for a name of one's own and `[]` for a list."""

    path: str
    type: str
    default: str
    sentence: str

    @property
    def variable(self) -> str:
        """Its variable in the environment; a key within a list has none, the list has."""
        if "[]" in self.path:
            return ""
        parts = (part if "<" in part else part.upper() for part in self.path.split("."))
        return f"`VEDETTE_{'__'.join(parts)}`"


def every_key() -> Iterator[Key]:
    """All keys, in the order of the code."""
    tree = schema()
    yield from _walk(tree, tree["$defs"], "")


def _walk(part: dict[str, Any], known: dict[str, Any], before: str) -> Iterator[Key]:
    for name, told in part["properties"].items():
        path, (branch, within) = before + name, _branch(told)
        # A branch that is always there says nothing that its keys do not say.
        if branch is None or within or "anyOf" in told:
            kind = _type(told) if branch is None else _BRANCHES[within]
            default = "**required**" if name in part.get("required", ()) else _default(told)
            yield Key(path, kind, default, told.get("description", ""))
        if branch is not None:
            yield from _walk(known[branch], known, f"{path}{within}.")


def _branch(told: dict[str, Any]) -> tuple[str | None, str]:
    """The branch that a key holds, None for a leaf, and how the paths within it begin."""
    named = [one for way in _ways(told) for one in _named(way)]
    ways = {"": [told], ".<name>": named, "[]": [told.get("items", {})]}
    for within, some in ways.items():
        for one in (way for part in some for way in _ways(part)):
            if "$ref" in one:
                return one["$ref"].rpartition("/")[2], within
    return None, ""


def _ways(told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A key's schema, and what it may be instead."""
    yield told
    for one in told.get("anyOf", ()):
        yield from _ways(one)


def _named(told: dict[str, Any]) -> list[dict[str, Any]]:
    some = (told.get("additionalProperties"), *told.get("patternProperties", {}).values())
    return [one for one in some if isinstance(one, dict)]


def _type(told: dict[str, Any]) -> str:
    if "anyOf" in told:
        some = [_type(one) for one in told["anyOf"] if one.get("type") != "null"]
        return " or ".join(some)
    if "enum" in told:
        return ", ".join(f"`{one}`" for one in told["enum"])
    kind = told.get("type", "any")
    if kind == "array":
        return f"list of {_type(told['items'])}"
    if kind == "object":
        return f"mapping to {_type(_named(told)[0])}"
    kind = {"path": "path", "password": "secret"}.get(told.get("format", ""), kind)
    bounds = (says.format(told[name]) for name, says in _BOUNDS.items() if name in told)
    return " ".join((kind, *bounds))


def _default(told: dict[str, Any]) -> str:
    value = told.get("default")
    if value in (None, [], {}) or value == "**********":
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def configuration() -> str:
    """Tables of all keys, one for each branch at the top."""
    by: dict[str, list[Key]] = {}
    for key in every_key():
        top = key.path.split(".")[0].removesuffix("[]")
        by.setdefault(top, []).append(key)
    alone = [key for top, some in by.items() for key in some if [top] == [one.path for one in some]]
    parts = [_table(alone)]
    parts += [f"## {top}\n\n{_table(some)}" for top, some in by.items() if len(some) > 1]
    return "\n".join(parts)


def _table(some: list[Key]) -> str:
    rows = [
        f"| `{key.path}` | {key.type} | {key.default} | {key.sentence} | {key.variable} |"
        for key in some
    ]
    head = "| key | type | default | what it is | variable |"
    return "\n".join([head, "|" + "---|" * 5, *rows]) + "\n"
