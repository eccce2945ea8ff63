"""Documents of our own writing, endlessly many: forms of a kind, from `lines/`, one after another,
with names, numbers and words in their slots.

A slot stands in guillemets; one with a digit has one filling within a document.
"""

import json
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

# Of each source of documents: the files of its forms, one as often as it stands there.
KINDS: dict[str, tuple[str, ...]] = {
    "code": ("python", "python", "python", "script", "compiled"),
    "configs": ("config",),
    "logs": ("logs",),
    "legal": ("legal",),
    "manuals": ("manual", "manual", "manual", "manual", "python"),
    "prose": ("prose", "prose", "prose", "sentences"),
    "letters": ("letters", "letters", "letters", "sentences"),
    "chats": ("chats",),
    "duties": ("duties",),
}
_SLOT = re.compile(r"«([A-Za-z]+)(\d?)»")
_LINES = Path(__file__).with_name("lines")
# How often single lines follow each other instead of whole forms; shorter ones are brackets.
_LOOSE, _LEAST_CHARS = 0.4, 20


class Slots:
    """What fills a slot, by the slot's name."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._words: dict[str, list[str]] = json.loads(
            (_LINES / "words.json").read_text(encoding="utf-8")
        )
        one, many = self._one, rng.randrange
        self._makers: dict[str, Callable[[], str]] = {
            "w": lambda: one("noun"), "ws": lambda: one("noun") + "s",
            "v": lambda: one("verb"), "vs": lambda: one("verb") + "s",
            "ad": lambda: one("adjective"), "k": lambda: f"{one('adjective')} {one('noun')}",
            "p": lambda: one("person"), "surname": lambda: one("surname"),
            "P": lambda: f"{one('person')} {one('surname')}", "c": lambda: one("city"),
            "co": lambda: f"{one('company')} {one('form')}", "ty": lambda: one("type"),
            "m": lambda: one("month"), "day": lambda: one("day"), "ext": lambda: one("extension"),
            "id": lambda: "_".join(self._parts()), "ID": lambda: "_".join(self._parts()).upper(),
            "Id": lambda: "".join(part.capitalize() for part in self._parts()),
            "cam": lambda: self._parts()[0] + "".join(x.capitalize() for x in self._parts()),
            "n": lambda: str(many(rng.choice((10, 30, 100, 400)))),
            "N": lambda: str(many(100, rng.choice((1_000, 10_000, 300_000)))),
            "f": lambda: f"{many(rng.choice((1, 10, 100)) * 100 + 1) / 100}",
            "y": lambda: str(many(1880, 2030)), "hex": lambda: f"{many(1 << 28):x}",
            "ver": lambda: f"{many(6)}.{many(20)}" + rng.choice(("", f".{many(30)}")),
            "t": lambda: f"{many(24):02}:{many(60):02}", "d": self._date,
            "ip": lambda: ".".join(str(many(256)) for _ in range(4)),
            "url": lambda: f"https://{one('noun')}.example/{one('noun')}",
            "mail": lambda: f"{one('person').lower()}@{one('noun')}.example",
            "path": lambda: f"{one('noun')}/{'_'.join(self._parts())}.{one('extension')}",
        }  # fmt: skip

    def new(self, slot: str) -> str:
        """Another filling of this slot; a capital asks for one, where the slot is no other's."""
        maker = self._makers.get(slot)
        return self._makers[slot.lower()]().capitalize() if maker is None else maker()

    def _one(self, kind: str) -> str:
        return self._rng.choice(self._words[kind])

    def _parts(self) -> list[str]:
        kinds = ("noun", "noun", "verb", "adjective", "syllable")
        chosen = [self._rng.choice(kinds) for _ in range(self._rng.choice((1, 2, 2, 3)))]
        return [
            "".join(self._one(kind) for _ in range(1 + (kind == "syllable"))) for kind in chosen
        ]

    def _date(self) -> str:
        day, year = self._rng.randrange(1, 29), self._rng.randrange(1990, 2027)
        named = f"{day} {self._one('month')} {year}"
        return self._rng.choice((f"{year}-{self._rng.randrange(1, 13):02}-{day:02}", named))


class Writer:
    """Writes documents of the files that it is asked for."""

    def __init__(self, rng: random.Random) -> None:
        self._rng, self._slots = rng, Slots(rng)
        # Sorted: a folder's own order differs between machines.
        texts = {p.stem: p.read_text(encoding="utf-8") for p in sorted(_LINES.glob("*.txt"))}
        self._forms = {kind: re.split(r"\n\s*\n", text.strip()) for kind, text in texts.items()}
        self._loose = {
            kind: [line for line in text.split("\n") if len(line) >= _LEAST_CHARS]
            for kind, text in texts.items()
        }

    def document(self, kinds: Sequence[str], chars: int) -> str:
        """At least so many characters of forms of these files."""
        rng, known = self._rng, dict[str, str]()
        loose = rng.random() < _LOOSE
        forms = self._loose if loose else self._forms
        parts, size = list[str](), 0
        while size < chars:
            parts.append(self._filled(rng.choice(forms[rng.choice(kinds)]), known))
            size += len(parts[-1]) + 1
        return ("\n" if loose else rng.choice(("\n", "\n\n"))).join(parts)

    def _filled(self, form: str, known: dict[str, str]) -> str:
        def fill(slot: re.Match[str]) -> str:
            if slot[1] == "s":
                return self._filled(self._rng.choice(self._forms["sentences"]), known)
            if not slot[2]:
                return self._slots.new(slot[1])
            if slot[0] not in known:
                known[slot[0]] = self._slots.new(slot[1])
            return known[slot[0]]

        return _SLOT.sub(fill, form)
