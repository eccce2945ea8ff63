"""The command line as a page, read from typer's own tree."""

import enum
from typing import Any, get_args

import typer

from consumers.cli import app

_KINDS = {"str": "text", "int": "integer", "float": "number", "Path": "path"}


def commands() -> str:
    """What holds for all commands, then each with its arguments and options."""
    group: Any = typer.main.get_command(app)
    parts = [f"{group.help}\n"]
    for name in sorted(group.commands):
        command = group.get_command(None, name)
        parts.append(f"## {name}\n\n{' '.join(command.help.split())}\n")
        if command.params:
            parts.append(_table(command.params))
    return "\n".join(parts)


def _table(params: list[Any]) -> str:
    rows = [f"| {_names(one)} | {_kind(one)} | {_default(one)} | {one.help} |" for one in params]
    head = "| argument or option | type | default | what it is |"
    return "\n".join([head, "|" + "---|" * 4, *rows]) + "\n"


def _names(one: Any) -> str:
    names = [name.upper() if not name.startswith("-") else name for name in one.opts]
    return ", ".join(f"`{name}`" for name in [*names, *one.secondary_opts])


def _kind(one: Any) -> str:
    kind = one.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return ", ".join(f"`{choice.value}`" for choice in kind)
    if getattr(one, "is_flag", False):
        return "flag"
    (held,) = get_args(kind) or (kind,)  # a list is an option that may be given again
    words = [_KINDS[held.__name__]]
    words += [f"from {one.min}"] if one.min is not None else []
    words += [f"to {one.max}"] if one.max is not None else []
    return " ".join(words) + (", may be given again" if one.multiple else "")


def _default(one: Any) -> str:
    if one.required:
        return "**required**"
    value = one.default.value if isinstance(one.default, enum.Enum) else one.default
    return "" if value in (None, False, ()) else f"`{value}`"
