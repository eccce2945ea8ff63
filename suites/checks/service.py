"""What can be said of an answer of customer service by rules: handed over, satisfied, asked twice.

Rules of words in six languages. They find what they know and no more: how often they err on other
conversations is not known, so a rate is for comparing models on the same questions.
"""

import re
from collections.abc import Mapping, Sequence

from agent.record import Call, Score, unscored
from agent.scoring import NO, NO_RESPONSE, SCANNED_CHARS, YES
from suites.checks import NOT_ASKED, NOT_FOR_THIS, Terms, check
from suites.record import Item

_STAFF = (
    r"(?:human|person|agent|advis[oe]r|representative|colleague|specialist|supervisor|manager"
    r"|(?:support|service|billing|claims|technical|returns)(?: team| department| desk)?"
    r"|team|someone|staff|operator)s?"
)
_HANDS_OVER = (
    # I'll transfer you to a colleague; let me put you through to our billing team
    rf"\b(?:transfer|connect|forward|escalat\w+|redirect|refer|pass|hand|put)(?:r?ed|[rt]?ing)? "
    rf"(?:\w+ ){{0,4}}?(?:to|with|through|over)\b (?:\w+ ){{0,4}}?{_STAFF}\b",
    rf"\b(?:contact|call|reach out to|speak (?:to|with)|talk to|write to) (?:one of )?"
    rf"(?:our|the|a|an|your)\b (?:\w+ ){{0,3}}?{_STAFF}\b",
    rf"\b(?:agent|colleague|specialist|representative|{_STAFF}) (?:from \w+ )?"
    rf"will (?:\w+ )?(?:contact|call|get back|reach out|take over|be in touch|join)",
    r"\b(?:verbinde|leite|übergebe|verweise) (?:\w+ ){0,5}?(?:mitarbeiter|kolleg|team|support"
    r"|kundendienst|kundenservice|fachabteilung|weiter)",
    r"\b(?:wenden sie sich|wende dich|melden sie sich|kontaktieren sie) (?:\w+ ){0,3}?"
    r"(?:an |bei )?(?:\w+ ){0,2}?(?:kundendienst|kundenservice|support|hotline|mitarbeiter|team)",
    r"\b(?:transf[èe]re|transférer|mets en relation|mettre en relation|redirige|passe) "
    r"(?:\w+ ){0,5}?(?:conseiller|collègue|agent|équipe|service|responsable|spécialiste)",
    r"\bcontactez (?:\w+ ){0,3}?(?:service|conseiller|équipe|support)",
    r"\b(?:transfer\w+|pas[oa]r?|pasaré|conect\w+|derivo|derivar\w*|comunic\w+) (?:\w+ ){0,5}?"
    r"(?:agente|compañer\w|colega|equipo|departamento|especialista|supervisor\w?)",
    r"\b(?:póngase en contacto|contacte|comuníquese|contacta) (?:\w+ ){0,4}?"
    r"(?:servicio|soporte|equipo|atención|agente)",
    r"\b(?:trasferisco|passo|metto in contatto|inoltro) (?:\w+ ){0,5}?"
    r"(?:operatore|collega|responsabile|team|reparto|specialista|assistenza)",
    r"\bcontatti? (?:\w+ ){0,3}?(?:assistenza|servizio|supporto)",
    r"\b(?:transfiro|transferir|encaminho|encaminhar|passo|conecto) (?:\w+ ){0,5}?"
    r"(?:atendente|colega|equipe|equipa|especialista|supervisor\w?|setor)",
)
_HANDED = re.compile("|".join(_HANDS_OVER), re.I)
# Before such words, in the same sentence: then it is not done.
_NOT = re.compile(
    r"\b(?:not|cannot|never|without|no need|nicht|kein\w*|pas|sans|sin|non|senza|não|sem)\b|n't\b",
    re.I,
)
_SENTENCE = re.compile(r"[.!?\n]")

_BAD = re.compile(
    r"\b(?:not what i|(?:does|did|do|is|was|has)(?:n't| not) (?:\w+ )?(?:work|help|solve|answer"
    r"|right|correct|true)\w*|still (?:not|no|doesn't|don't|can't|cannot|waiting|broken)|useless"
    r"|terrible|ridiculous|waste of|disappoint\w+|frustrat\w+|unacceptable|wrong again"
    r"|no,? that|you(?:'re| are) not (?:listening|helping)|speak to a (?:human|person)"
    r"|hilft (?:mir )?(?:nicht|nichts)|funktioniert (?:\w+ )?nicht|immer noch|nutzlos|enttäusch\w+"
    r"|unverschämt|ne (?:marche|fonctionne|m'aide) (?:toujours )?pas|toujours pas|inutile|décevant"
    r"|no (?:funciona|sirve|me ayuda)|todavía no|sigue sin|inútil|decepcion\w+|non funziona"
    r"|ancora non|não (?:funciona|ajuda|resolve)|ainda não)\b",
    re.I,
)
_GOOD = re.compile(
    r"\b(?:thank(?:s| you)|perfect|great|excellent|awesome|brilliant|that (?:worked|helped|works"
    r"|helps|did it|solved)|it works|solved|appreciate|wonderful|danke|vielen dank|super|prima"
    r"|hat geklappt|funktioniert jetzt|merci|parfait|génial|ça marche|gracias|perfecto|genial"
    r"|ya funciona|grazie|perfetto|obrigad[oa]|perfeito|ótimo)\b",
    re.I,
)


@check("escalation")
class Escalation:
    """1 where the answer hands over to a person, or sends the customer to one."""

    version = "1"
    metrics: tuple[str, ...] = ("escalation",)

    def __init__(self, terms: Terms) -> None: ...

    def check(
        self, items: Sequence[Item], calls: Sequence[Call | None]
    ) -> Mapping[str, Sequence[Score]]:
        return {"escalation": [_escalated(call) for call in calls]}


def _escalated(call: Call | None) -> Score:
    if call is None or call.response is None:
        return NOT_ASKED if call is None else NO_RESPONSE
    return YES if hands_over(call.response[:SCANNED_CHARS]) else NO


def hands_over(text: str) -> bool:
    """Whether a sentence of the text hands over to a person, and does not say that it does not."""
    for sentence in _SENTENCE.split(text.replace("\u2019", "'")):
        found = _HANDED.search(sentence)
        if found and not _NOT.search(sentence[: found.start()]):
            return True
    return False


@check("satisfaction")
class Satisfaction:
    """How satisfied the customer was with the recorded answer, 0 to 1.

    From the fact `feedback` (-1 to 1) or `rating` (1 to 5); else from what the customer wrote next,
    the fact `reaction`: 0 where it complains, 1 where it thanks, unscored where it does neither.
    It says nothing of any other answer than the one that was reacted to: where the answer is not
    the fact `reply`, or without one the reference, it is not meant for it.
    """

    version = "1"
    metrics: tuple[str, ...] = ("satisfaction",)

    def __init__(self, terms: Terms) -> None: ...

    def check(
        self, items: Sequence[Item], calls: Sequence[Call | None]
    ) -> Mapping[str, Sequence[Score]]:
        return {"satisfaction": [_satisfied(*pair) for pair in zip(items, calls, strict=True)]}


def _satisfied(item: Item, call: Call | None) -> Score:
    logged = item.facts.get("reply") or item.call.reference
    if call is None or call.response is None or logged is None:
        return NOT_FOR_THIS
    if call.response.split() != logged.split():
        return NOT_FOR_THIS
    for name, lowest, highest in (("feedback", -1.0, 1.0), ("rating", 1.0, 5.0)):
        if name in item.facts:
            return _placed(item.facts[name], lowest, highest)
    reaction = item.facts.get("reaction")
    return NOT_FOR_THIS if reaction is None else mood(reaction)


def _placed(told: str, lowest: float, highest: float) -> Score:
    try:
        value = (float(told) - lowest) / (highest - lowest)
    except ValueError:
        return unscored("bad_value")
    return Score(value) if 0 <= value <= 1 else unscored("bad_value")


def mood(reaction: str) -> Score:
    """Whether a customer complains (0) or thanks (1); who does both complains."""
    said = reaction[:SCANNED_CHARS].replace("\u2019", "'")
    if _BAD.search(said):
        return NO
    return YES if _GOOD.search(said) else unscored("says_neither")
