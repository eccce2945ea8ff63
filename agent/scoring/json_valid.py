"""Whether an answer that should be JSON is JSON."""

import json
import re
from collections.abc import Mapping, Sequence

from agent.record import UNASKED, Call, Score, unscored
from agent.scoring import NO, NO_RESPONSE, SCANNED_CHARS, YES, Options, scorer

_STARTS = re.compile(r"\A\s*+(?:```json\b|\{|\[\s*+[\[{\"\]]|\[[\d\s,.eE+-]*+\]\s*+\Z)")
_FENCED = re.compile(r"\A\s*+```(?:json)?[ \t]*+\r?\n")
# The word JSON asks for it where one of these stands within 60 characters before, or 30 behind.
_WISH = re.compile(
    r"\b(?:return|respond|answer|reply|output|produce|generate|format|give|write|in|as|only)\b"
)


@scorer("json_valid")
class JsonValid:
    """1 where the whole answer, or the block that it opens with, parses as strict JSON."""

    name = "json_valid"
    version = "1"
    metrics: tuple[str, ...] = ("response_json_valid",)

    def __init__(self, options: Options) -> None: ...

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        return {"response_json_valid": [_judge(call) for call in calls]}


def _judge(call: Call) -> Score:
    wishes = (call.prompt or "", *(m.content for m in call.messages if m.role != "assistant"))
    asked = any(map(_asks, wishes))
    if call.response is None and (asked or call.prompt is None):
        return NO_RESPONSE
    if not asked and not _STARTS.match(call.response or ""):
        return unscored(UNASKED)
    return YES if _parses(call.response or "") else NO


def _asks(text: str) -> bool:
    low = text[:SCANNED_CHARS].lower()
    at = low.find("json")
    return at >= 0 and _WISH.search(low, max(0, at - 60), at + 34) is not None


def _parses(text: str) -> bool:
    fence = _FENCED.match(text)
    if fence:
        text = text[fence.end() :].partition("```")[0]
    try:
        # Numbers stay text: their size is no matter here, and Python refuses 5,000 digits.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(constant)
