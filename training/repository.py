"""Pieces of this repository's own files: real code, settings and manuals of our own writing.

In an experiment of 2026-11-27 written code alone left 5 % of 40 sources of Python's library flagged
as jailbreaks; with these pieces none.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FOLDERS = (
    "abtest", "agent", "consumers", "deploy", "docs", "shadow", "suites", "tests", "watch",
)  # fmt: skip
# Endings of each kind, and how many of its pieces are taken.
KINDS = {
    "own_code": (("py", "js", "css", "html", "go"), 2_500),
    "own_configs": (("yaml", "yml", "toml", "tpl", "sh"), 500),
    "own_manuals": (("md",), 1_000),
}
# Files that speak of attacks would teach that attacks are harmless.
_LEFT_OUT = re.compile(
    r"jailbreak|injection|system prompt|ignore (all|the|any|every|previous)|You are ", re.I
)
# A piece begins somewhere, and is of 200 to 1,500 characters; one for so many of a file's.
_LEAST_CHARS, _TIMES, _CHARS_OF_ONE = 200, 7.5, 800


def pieces(kind: str, rng: random.Random) -> list[str]:
    """Pieces of the files of a kind, as many as there are or are taken."""
    endings, most = KINDS[kind]
    found = list[str]()
    for text in _texts(endings):
        for _ in range(1 + len(text) // _CHARS_OF_ONE):
            size = int(_LEAST_CHARS * _TIMES ** rng.random())
            at = rng.randrange(max(len(text) - 300, 1))
            found.append(text[at : at + size])
    return rng.sample(found, min(len(found), most))


def _texts(endings: tuple[str, ...]) -> Iterator[str]:
    paths = (path for folder in _FOLDERS for path in (ROOT / folder).rglob("*"))
    # Sorted: a folder's own order differs between machines.
    for path in sorted(path for path in paths if path.suffix[1:] in endings):
        text = path.read_text(encoding="utf-8")
        if len(text) > 300 and not _LEFT_OUT.search(text):
            yield text
