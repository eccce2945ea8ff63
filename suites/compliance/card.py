"""Whether a model's card has the sections that it should, each with something in it."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from suites.compliance.finding import Finding
from suites.compliance.licence import CARDS, front_matter, read

_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
# Other words for a section.
_ALSO = {
    "licence": ("license",),
    "intended use": ("intended uses", "uses", "usage", "how to use"),
    "training data": ("training dataset", "training details", "training procedure"),
    "evaluation": ("results", "benchmarks", "performance"),
    "limitations": ("limitation", "bias", "risks", "out-of-scope"),
}


def card_of(target: str, folder: Path | None, wanted: Sequence[str]) -> Finding:
    """Whether the card of a model is complete; a folder without one fails."""
    check = f"documentation of {target}"
    if folder is None:
        return Finding(check, "could not tell", ("the files of the model are not here",))
    name = next((one for one in CARDS if (folder / one).is_file()), None)
    if name is None:
        return Finding(check, "fail", (f"no {' or '.join(CARDS[:2])} in {folder.name}",))
    text = read(folder / name) or ""
    there = [title.lower() for title, body in sections(text) if body.strip()]
    # The key above a card is where model hubs look for its licence.
    there += ["licence"] if front_matter(text).get("license") else []
    missing = [one for one in wanted if not any(_is(one.lower(), title) for title in there)]
    told = (f"{name} has {len(there)} sections with text",)
    if missing:
        return Finding(check, "fail", (*told, f"missing or empty: {', '.join(missing)}"))
    return Finding(check, "pass", told)


def _is(wanted: str, title: str) -> bool:
    return any(name in title for name in (wanted, *_ALSO.get(wanted, ())))


def sections(text: str) -> Iterator[tuple[str, str]]:
    """The headings of a Markdown text and what stands below each, with what is in its parts."""
    headings, lines, code = list[tuple[int, int, str]](), list[str](), False
    for line in text.splitlines():
        code ^= line.lstrip().startswith("```")
        found = None if code else _HEADING.match(line)
        if found is None:
            lines.append(line)
        else:
            headings.append((len(lines), len(found[1]), found[2]))
    for at, (start, level, title) in enumerate(headings):
        after = (first for first, depth, _ in headings[at + 1 :] if depth <= level)
        yield title, "\n".join(lines[start : next(after, len(lines))])
