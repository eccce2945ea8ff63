"""What pages of docs show, for tests that try it."""

import textwrap
from pathlib import Path
from typing import Any

from agent.tree import parse_yaml

DOCS = Path(__file__).parents[1] / "docs"


def block(page: str, first: str) -> str:
    """The indented block of a page under docs that begins with a line of this beginning."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("    " + first))
    taken = []
    for line in lines[start:]:
        if line and not line.startswith("    "):
            break
        taken.append(line)
    return textwrap.dedent("\n".join(taken)).strip() + "\n"


def keys(page: str, first: str) -> Any:
    """The first paragraph of such a block, which is YAML."""
    return parse_yaml(block(page, first).partition("\n\n")[0], page)
