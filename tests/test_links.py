"""Every page of the repository: links and anchors lead somewhere, and the index names them all."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
INDEX = ROOT / "docs" / "README.md"
_BUILT = {"build", "dist", "vedette.egg-info"}
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|^(?: {4}|\t).*$|`[^`\n]+`", re.M | re.S)
_NAMED = re.compile(r"\bdocs/[\w/.-]*\w\.(?:md|yaml|jsonl)\b")


def files_of(*patterns: str) -> list[Path]:
    """The repository's own files of these patterns: nothing hidden, nothing that was built."""
    tops = [top for top in ROOT.iterdir() if top.name[0] != "." and top.name not in _BUILT]
    inside = (path for top in tops if top.is_dir() for path in top.rglob("*"))
    return sorted(
        path
        for path in (*tops, *inside)
        if path.is_file() and any(path.relative_to(ROOT).match(pattern) for pattern in patterns)
    )


def anchors(page: Path) -> set[str]:
    """What may stand behind `#` for this page, as GitHub makes it from the headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?)\s*$", text, re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(next(n for n in _numbered(name) if n not in found))
    return found


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{again}" for again in range(1, 1000))


def broken(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    bad = []
    for link in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
        where, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / where).resolve() if where else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            bad.append(f"{page.name}: {link}")
    return bad


def test_every_relative_link_and_anchor_leads_somewhere() -> None:
    pages = files_of("*.md")
    assert len(pages) > 20
    assert [bad for page in pages for bad in broken(page)] == []


def test_a_planted_bad_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# One, two\n\n## `x` of y\n\n## One, two\n")
    good = "[a](b.md) [b](b.md#x-of-y) [c](b.md#one-two-1) [d](https://x.example/) `[e](gone.md)`\n"
    page = tmp_path / "a.md"
    page.write_text(good)
    assert broken(page) == []
    page.write_text(good + "[f](c.md) [g](b.md#three) [two\nlines](d.md)\n")
    assert broken(page) == ["a.md: c.md", "a.md: b.md#three", "a.md: d.md"]


def test_the_index_leads_to_every_page() -> None:
    linked = {
        (INDEX.parent / link.partition("#")[0]).resolve()
        for link in _LINK.findall(INDEX.read_text(encoding="utf-8"))
    }
    pages = [page for page in files_of("*.md") if page.is_relative_to(INDEX.parent)]
    assert len(pages) > 40
    assert [page.name for page in pages if page not in linked | {INDEX}] == []


def test_what_code_and_pages_name_under_docs_is_there() -> None:
    files = files_of("*.py", "*.md", "*.yaml", "*.yml", "*.html", "Makefile")
    named = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in files
        for name in _NAMED.findall(path.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    assert sorted(f"{path}: {name}" for path, name in named if not (ROOT / name).exists()) == []
