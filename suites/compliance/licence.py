"""The licence of a model, as its own files state it."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.errors import BadConfig
from agent.tree import parse_yaml
from suites.compliance.finding import Finding

CARDS = ("README.md", "MODEL_CARD.md", "model_card.md")
_TEXTS = re.compile(r"(?i)^(licen[cs]e|copying)([._-].*)?$")
_READ_CHARS = 200_000
# What tells the text of a licence, white space apart; the first that fits.
_PHRASES = (
    ("agpl-3.0", "gnu affero general public license version 3"),
    ("lgpl-3.0", "gnu lesser general public license version 3"),
    ("gpl-3.0", "gnu general public license version 3"),
    ("gpl-2.0", "gnu general public license version 2"),
    ("apache-2.0", "apache license version 2.0"),
    ("mpl-2.0", "mozilla public license version 2.0"),
    ("cc-by-nc-4.0", "attribution-noncommercial 4.0 international"),
    ("cc-by-sa-4.0", "attribution-sharealike 4.0 international"),
    ("cc-by-4.0", "attribution 4.0 international"),
    ("llama", "llama community license"),
    ("openrail", "open rail"),
    ("openrail", "responsible ai license"),
    ("bsd-3-clause", "neither the name of"),
    ("bsd-2-clause", "redistribution and use in source and binary forms"),
    ("mit", "permission is hereby granted, free of charge"),
)


def licence_of(target: str, folder: Path | None, allowed: Sequence[str]) -> Finding:
    """Whether every statement of a model's folder names one allowed licence."""
    check = f"licence of {target}"
    if folder is None:
        return Finding(check, "could not tell", ("the files of the model are not here",))
    said = list(_stated(folder))
    told = tuple(f"{where}: {name}" for where, name in said)
    if not said:
        return Finding(check, "could not tell", (f"no file of {folder.name} states a licence",))
    if not allowed:
        return Finding(check, "could not tell", (*told, "compliance.licences allows none by name"))
    names = {name for _, name in said}
    refused = sorted(names - {name.lower() for name in allowed} - {"unknown"})
    if refused:
        return Finding(check, "fail", (*told, f"{', '.join(refused)} is not allowed"))
    if len(names) > 1:
        return Finding(check, "could not tell", (*told, "the files do not say the same"))
    return Finding(check, "could not tell" if names == {"unknown"} else "pass", told)


def _stated(folder: Path) -> Iterator[tuple[str, str]]:
    """Where a licence is stated, and which: its SPDX name in lower case, or unknown."""
    config = _json(folder / "config.json")
    for key in ("license", "licence"):
        if isinstance(config.get(key), str):
            yield f"config.json {key}", config[key].strip().lower()
    for name in CARDS:
        stated = front_matter(read(folder / name) or "").get("license")
        for one in stated if isinstance(stated, list) else [stated]:
            if isinstance(one, str):
                yield f"{name} license", one.strip().lower()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and _TEXTS.match(path.name):
            yield path.name, _named(read(path) or "")


def _named(text: str) -> str:
    flat = re.sub(r"[\s,]+", " ", text.lower())
    found = (name for name, phrase in _PHRASES if re.sub(r"[\s,]+", " ", phrase) in flat)
    return next(found, "unknown")


def read(path: Path) -> str | None:
    """The beginning of a text file; None where there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_READ_CHARS)
    except OSError:
        return None


def front_matter(text: str) -> dict[str, object]:
    """The keys above a Markdown text; none where they are not YAML."""
    found = re.match(r"---\s*\n(.*?)\n---\s*(\n|\Z)", text, re.DOTALL)
    try:
        return parse_yaml(found[1], "card") if found else {}
    except BadConfig:
        return {}


def _json(path: Path) -> dict[str, str]:
    try:
        found = json.loads(read(path) or "")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
