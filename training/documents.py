"""Long texts without an attack that any machine has: sources, manuals and licences of Python and of
the packages beside it. None was trained on."""

import sysconfig
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import Distribution, distributions
from itertools import cycle
from pathlib import Path

# Of each kind; shorter ones are no documents, and 20,000 characters were what training read.
_MOST, _LEAST_CHARS, _CHARS = 40, 1_000, 20_000
# Of a source behind an attack.
_SOURCE_CHARS = 3_000


def documents() -> dict[str, tuple[str, ...]]:
    """The texts of each kind, by its name."""
    return {
        "sources of Python's library": _chosen(_sources()),
        "readmes of packages": _chosen(_of_packages(_readme)),
        "licences of packages": _chosen(_of_packages(_licence)),
    }


def in_sources(attacks: Sequence[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Attacks, each in front of a long source, and these sources alone; 1 for an attack."""
    sources = tuple(text[:_SOURCE_CHARS] for text in documents()["sources of Python's library"])
    hidden = (f"{attack}\n\n{source}" for attack, source in zip(attacks, cycle(sources)))
    return (*hidden, *sources), (1,) * len(attacks) + (0,) * len(sources)


def _chosen(found: Iterator[str]) -> tuple[str, ...]:
    texts = sorted({text[:_CHARS] for text in found if len(text) >= _LEAST_CHARS})
    return tuple(texts[:: max(len(texts) // _MOST, 1)][:_MOST])


def _sources() -> Iterator[str]:
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        yield path.read_text(encoding="utf-8", errors="replace")


def _of_packages(read: Callable[[Distribution], str]) -> Iterator[str]:
    return (read(one) for one in distributions())


def _readme(package: Distribution) -> str:
    return (package.read_text("METADATA") or "").partition("\n\n")[2]


def _licence(package: Distribution) -> str:
    names = [path for path in package.files or () if path.name.upper().startswith("LICEN")]
    found = [place for name in names if (place := Path(str(name.locate()))).is_file()]
    return found[0].read_text(encoding="utf-8", errors="replace") if found else ""
