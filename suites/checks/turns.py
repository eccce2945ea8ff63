"""What an answer late in a conversation does with what was said before."""

import re
from collections.abc import Mapping, Sequence

from agent.record import Call, Score
from agent.scoring import NO, NO_RESPONSE, SCANNED_CHARS, TOO_SHORT, YES
from suites.checks import NOT_ASKED, NOT_FOR_THIS, Terms, check
from suites.record import Item

# As of the repetition within one answer (agent/scoring/repetition.py).
_WORDS = 4
# What is asked for, and how it looks when it was given.
_DETAILS = (
    (
        r"e-?mail(?: address|adresse)?|courriel|correo|adresse mail",
        r"(?<![\w.+-])[\w.+-]+@[\w-]+\.\w+",
    ),
    (
        r"(?:tele)?phone(?: number)?|telefonnummer|numéro de téléphone|número de teléfono"
        r"|numero di telefono|telefone",
        r"(?<!\w)\+?\d(?:[ ()/.-]?\d){7,14}(?!\w)",
    ),
    (
        r"(?:order|booking|customer|ticket|reference|tracking) (?:number|id|no\b)"
        r"|(?:bestell|kunden|auftrags|buchungs)nummer|numéro de (?:commande|client)"
        r"|número de (?:pedido|cliente)|numero d(?:i|'|ell')\s?ordine",
        r"(?i:order|booking|customer|ticket|reference|tracking|bestell|kunden|auftrag|buchung"
        r"|commande|client|pedido|ordine)\w*\W+(?:\w+\W+){0,3}?#?[A-Z-]{0,6}\d{3,}",
    ),
)
_ASKS = re.compile(
    r"\?|\b(?:please|could you|can you|i need|provide|tell me|send me|share|bitte|nennen|teilen"
    r"|veuillez|pouvez|merci de|por favor|puede|indique|per favore|può)\b",
    re.I,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@check("turns")
class Turns:
    """Of an answer with answers before it, the share of its word 4-grams that stand in one of
    these; and whether it asks for a detail that the user has given.

    The details are an e-mail address, a phone number, and the number of an order or the like;
    of a conversation in which none was given `asked_again` is not meant. Whether two turns
    contradict each other is not measured.
    """

    version = "1"
    metrics: tuple[str, ...] = ("turn_repetition", "asked_again")

    def __init__(self, terms: Terms) -> None: ...

    def check(
        self, items: Sequence[Item], calls: Sequence[Call | None]
    ) -> Mapping[str, Sequence[Score]]:
        pairs = list(zip(items, calls, strict=True))
        return {
            "turn_repetition": [_repeated(*pair) for pair in pairs],
            "asked_again": [_asked_again(*pair) for pair in pairs],
        }


def _repeated(item: Item, call: Call | None) -> Score:
    before = [turn.content for turn in item.call.messages if turn.role == "assistant"]
    if not before:
        return NOT_FOR_THIS
    if call is None or call.response is None:
        return NOT_ASKED if call is None else NO_RESPONSE
    mine = _grams(call.response)
    said = {gram for text in before for gram in _grams(text)}
    return Score(len(mine & said) / len(mine)) if mine else TOO_SHORT


def _grams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text[:SCANNED_CHARS].lower())
    return set(zip(*(words[at:] for at in range(_WORDS)), strict=False))


def _asked_again(item: Item, call: Call | None) -> Score:
    said = [turn.content for turn in item.call.messages if turn.role == "user"]
    given = "\n".join([*said, item.call.prompt or ""])[:SCANNED_CHARS]
    known = [asked for asked, looks in _DETAILS if re.search(looks, given)]
    if not known:
        return NOT_FOR_THIS
    if call is None or call.response is None:
        return NOT_ASKED if call is None else NO_RESPONSE
    sentences = _SENTENCE.split(call.response[:SCANNED_CHARS])
    asks = [one for one in sentences if _ASKS.search(one)]
    pattern = re.compile("|".join(rf"\b(?:{asked})" for asked in known), re.I)
    return YES if any(pattern.search(one) for one in asks) else NO
