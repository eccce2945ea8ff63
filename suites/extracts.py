"""What of an answer is matched with its reference, by the pattern that a task names."""

import re
from collections import deque
from dataclasses import replace

from agent.record import Call
from agent.scoring import SCANNED_CHARS


def extracted(pattern: re.Pattern[str] | None, call: Call) -> Call:
    """The call with the last match in its answer and its reference in their place.

    An answer without a match has said nothing; a reference without one stands as it is, and
    without a pattern so does the call.
    """
    if pattern is None:
        return call
    said = None if call.response is None else _last(pattern, call.response) or ""
    reference = call.reference
    if reference is not None:
        reference = _last(pattern, reference) or reference
    return replace(call, response=said, reference=reference)


def named(version: str, pattern: re.Pattern[str] | None) -> str:
    """The version of a scorer that reads what the pattern takes."""
    return version if pattern is None else f"{version} of {pattern.pattern!r}"


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    last = deque(pattern.finditer(text[:SCANNED_CHARS]), maxlen=1)
    return last[0][last[0].lastindex or 0] if last else None
