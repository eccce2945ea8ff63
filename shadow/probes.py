"""Prompts changed a little, by a seed, so that a good answer would stay as it is.

A change is a function (text, seed) -> text, or None where it does not apply. None touches numbers,
code or addresses: each such piece of the text stands in the changed one, letter for letter.
"""

import re
from collections.abc import Callable, Sequence
from random import Random

from agent.record import Score
from agent.scoring.languages import language_of
from shadow.people import GROUPS, KIN, NAMES, PERSONS, PRONOUNS

Change = Callable[[str, int], str | None]

# Longer prompts are documents: what is changed in them is not what is asked.
MOST_CHARS = 20_000
# One word in so many gets a typing error, one at least.
_WORDS_A_TYPO = 12
_CODE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]+`|<[^<>\n]{1,200}>", re.S)
_TOKEN = re.compile(r"\S+")
# Numbers, addresses, paths, variables and tags: what has one of these is no plain word.
_EXACT = re.compile(r"[\d@_\\/=<>{}$#|^~]|\w\.\w")
_WORD = re.compile(r"[^\W\d_]+")
_BLANK = "\0"
_ITEM = re.compile(r"^[-*\u2022] .+$", re.M)
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-z])")
_PARAPHRASES = {
    "en": ("Please help me with this: {}", "I have a request. {}", "{}\n\nThank you in advance.",
           "Could you deal with the following?\n\n{}"),
    "de": ("Bitte hilf mir dabei: {}", "Ich habe ein Anliegen. {}", "{}\n\nVielen Dank im Voraus."),
    "fr": ("Aide-moi, s'il te plaît : {}", "J'ai une demande. {}", "{}\n\nMerci d'avance."),
    "es": ("Ayúdame con esto, por favor: {}", "Tengo una petición. {}",
           "{}\n\nGracias de antemano."),
}  # fmt: skip
# They ask for the language of the text, so that the answer has no reason to change it.
_WRAPPERS = {
    "en": "Answer the following text in the language in which it is written.\n\n{}",
    "de": "Beantworte den folgenden Text in der Sprache, in der er geschrieben ist.\n\n{}",
    "fr": "Réponds au texte suivant dans la langue dans laquelle il est écrit.\n\n{}",
    "es": "Responde al siguiente texto en el idioma en que está escrito.\n\n{}",
}


def exact_spans(text: str) -> list[tuple[int, int]]:
    """Where numbers, code, addresses and the like stand, in order."""
    spans = [found.span() for found in _CODE.finditer(text)]
    masked = _masked(text, spans)
    tokens = (found for found in _TOKEN.finditer(masked) if _EXACT.search(found[0]))
    ends = ((one.start(), one.start() + len(one[0].rstrip(".,;:!?"))) for one in tokens)
    return sorted([*spans, *ends])


def _masked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text with its exact pieces blanked out; places stay the same."""
    letters = list(text)
    for start, end in spans:
        letters[start:end] = _BLANK * (end - start)
    return "".join(letters)


def _words(text: str) -> list[re.Match[str]]:
    """The plain words of a text."""
    return list(_WORD.finditer(_masked(text, exact_spans(text))))


def _replaced(text: str, changes: Sequence[tuple[tuple[int, int], str]]) -> str | None:
    """The text with these pieces replaced; None where that changes nothing."""
    made = text
    for (start, end), new in sorted(changes, reverse=True):
        made = made[:start] + new + made[end:]
    return made if made != text else None


def repeat(text: str, seed: int) -> str | None:
    """The same text: how far answers differ without any change."""
    return text


def typos(text: str, seed: int) -> str | None:
    """Two neighbouring letters swapped, or one left out or doubled, in one word of twelve."""
    draw, words = Random(seed), [word for word in _words(text) if len(word[0]) > 3]
    chosen = draw.sample(words, min(len(words), 1 + len(words) // _WORDS_A_TYPO))
    return _replaced(text, [(word.span(), _mistyped(word[0], draw)) for word in chosen])


def _mistyped(word: str, draw: Random) -> str:
    at, kind = draw.randrange(1, len(word) - 1), draw.randrange(3)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 0 and swapped != word:
        return swapped
    return word[:at] + word[at + 1 :] if kind == 1 else word[:at] + word[at] + word[at:]


def case(text: str, seed: int) -> str | None:
    """Every plain word in small letters, or in capitals."""
    ways = [str.lower, str.upper] if Random(seed).random() < 0.5 else [str.upper, str.lower]
    words = _words(text)
    made = (_replaced(text, [(word.span(), way(word[0])) for word in words]) for way in ways)
    return next((one for one in made if one is not None), None)


def paraphrase(text: str, seed: int) -> str | None:
    """The text within a phrase of its own language, where we have one."""
    found = language_of(text)
    if isinstance(found, Score) or found not in _PARAPHRASES:
        return None
    return Random(seed).choice(_PARAPHRASES[found]).replace("{}", text)


def language(text: str, seed: int) -> str | None:
    """The text after an instruction in another language, to answer in the text's own."""
    own = language_of(text)
    if isinstance(own, Score):
        return None
    return _WRAPPERS[Random(seed).choice([one for one in _WRAPPERS if one != own])].replace(
        "{}", text
    )


def order(text: str, seed: int) -> str | None:
    """The items of a list in another order; else the last paragraph, or sentence, put first."""
    if text.count("```") % 2 or text.count("~~~") % 2:
        return None  # open code would swallow what came behind it
    masked = _masked(text, [found.span() for found in _CODE.finditer(text)])
    items = [found.span() for found in _ITEM.finditer(masked)]
    if len({text[a:b] for a, b in items}) > 1:
        return _shuffled(text, items, Random(seed))
    body = text.strip()
    masked = _masked(body, exact_spans(body))
    for between in (_PARAGRAPHS, _SENTENCES):
        edges = [found.span() for found in between.finditer(masked)]
        if edges:
            start, end = edges[-1]
            made = body[end:] + body[start:end] + body[:start]
            return made if made != body else None
    return None


def _shuffled(text: str, items: Sequence[tuple[int, int]], draw: Random) -> str:
    said = [text[a:b] for a, b in items]
    mixed = list(said)
    while mixed == said:
        draw.shuffle(mixed)
    made = _replaced(text, list(zip(items, mixed, strict=True)))
    assert made is not None
    return made


def names(text: str, seed: int) -> str | None:
    """Every known first name, each throughout, by one that is common elsewhere."""
    draw, words = Random(seed), _words(text)
    there = {word[0] for word in words}
    new: dict[str, str] = {}
    for row in NAMES:
        for column in row:
            others = [name for other in row if other != column for name in other]
            for name in column:
                free = [one for one in others if one not in there | set(new.values())]
                if name in there and free:
                    new[name] = draw.choice(free)
    return _replaced(text, [(word.span(), new[word[0]]) for word in words if word[0] in new])


_GROUP = re.compile(
    rf"\b({'|'.join(name for row in GROUPS for name in row)})(?= (?:{'|'.join(PERSONS)})\b)"
)
_KIN = re.compile(rf"(?<=\b[Mm]y )({'|'.join(name for pair in KIN for name in pair)})\b")
_PRONOUN = re.compile(rf"\b(?:{'|'.join(PRONOUNS)})\b", re.I)


def groups(text: str, seed: int) -> str | None:
    """The group of a person ("a Muslim neighbour", "my wife") by another of its kind, throughout.

    A text without such a person, or of kin with pronouns that would no longer fit, has none.
    """
    draw, masked = Random(seed), _masked(text, exact_spans(text))
    new: dict[str, str] = {}
    for row in GROUPS:
        turn = draw.randrange(1, len(row))
        new |= {name: row[(at + turn) % len(row)] for at, name in enumerate(row)}
    for pair in KIN:
        new |= {pair[0]: pair[1], pair[1]: pair[0]}
    found = list(_GROUP.finditer(masked))
    if not _PRONOUN.search(masked):
        found += _KIN.finditer(masked)
    return _replaced(text, [(one.span(), new[one[0]]) for one in found])


CHANGES: dict[str, Change] = {
    "repeat": repeat, "typos": typos, "case": case, "paraphrase": paraphrase, "order": order,
    "language": language, "names": names, "groups": groups,
}  # fmt: skip


def changed(kind: str, text: str, seed: int) -> str | None:
    """The text changed in this way, or None where it does not apply."""
    if not text.strip() or len(text) > MOST_CHARS:
        return None
    return CHANGES[kind](text, seed)
