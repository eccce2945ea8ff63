"""The JSON schema of the configuration, in which every key has the sentence that the code has."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from agent.config import Config
from agent.tree import Tree


def schema() -> dict[str, Any]:
    """The schema; the description of a key is the comment above it."""
    tree: dict[str, Any] = Config.model_json_schema()
    _describe(tree, Config)
    for branch in _branches(Tree):
        if branch.__name__ in tree["$defs"]:
            _describe(tree["$defs"][branch.__name__], branch)
    return tree


def _branches(of: type[Tree]) -> Iterator[type[Tree]]:
    for branch in of.__subclasses__():
        yield branch
        yield from _branches(branch)


def _describe(part: dict[str, Any], branch: type) -> None:
    for key, sentence in sentences(inspect.getsource(branch)).items():
        if key in part["properties"]:
            part["properties"][key]["description"] = sentence


def sentences(source: str) -> dict[str, str]:
    """By attribute of a class, the comment that stands above it in the source."""
    text = textwrap.dedent(source)
    lines = [line.strip() for line in text.splitlines()]
    (made,) = ast.parse(text).body
    found = {}
    for node in made.body if isinstance(made, ast.ClassDef) else ():
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            end = begin = node.lineno - 1
            while lines[begin - 1].startswith("#"):
                begin -= 1
            if begin < end:
                told = (line.removeprefix("#").strip() for line in lines[begin:end])
                found[node.target.id] = " ".join(told)
    return found
