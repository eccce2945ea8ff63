"""One validator for every field of every format; what it refuses it refuses as a BadRecord."""

import re
import unicodedata
from datetime import datetime
from typing import Any

from agent.config import Config
from agent.errors import BadRecord

# Every reason a record or a call can be refused with: the label of a counter.
REASONS = {
    "empty": "the value has no bytes, or only white space",
    "too_large": "the value is larger than limits.record_bytes",
    "too_deep": "the value is nested deeper than limits.depth",
    "encoding": "the value is no UTF-8 text, or starts with a byte order mark",
    "non_finite": "the value holds NaN, an infinity or a number beyond a double",
    "json": "the value is no JSON, or more than one document",
    "protobuf": "the value is no OTLP message",
    "bad_otlp": "a field of the OTLP document has another type than OTLP says",
    "not_an_object": "the document is neither an object nor a batch of them",
    "bad_id": "the id is missing, longer than 128 characters, or has control characters",
    "bad_time": "the time is missing, or neither RFC 3339 nor epoch seconds up to the year 2100",
    "future": "the call starts later than it arrived, beyond limits.clock_skew_s",
    "bad_model": "the model is missing",
    "bad_number": "a number is negative, out of range or no number",
    "bad_text": "a text is no text",
    "bad_value": "a field holds a word outside its closed set",
    "internal": "a defect of the reader itself",
}

ID_CHARS = 128
NAME_CHARS = 128
SEGMENTS = 16
CONTEXTS = 100
TOKENS = 10**9
# Above 2^53 a JSON number is no longer the integer that was written.
EXACT = 2**53
YEAR_2100 = 4_102_444_800.0

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,18})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
# Redaction switches of LiteLLM and of the OpenInference and OTel instrumentations.
_PLACEHOLDERS = {"redacted-by-litellm", "redacted", "[redacted]", "<redacted>", "__redacted__"}
_PLACEHOLDER_CHARS = max(map(len, _PLACEHOLDERS))
# A prompt without what these took is another question: a candidate is not asked it.
_LOST = ("redacted", "truncated")


class Reading:
    """What one call is read against, and the flags noted while reading it."""

    __slots__ = ("flags", "latest", "text_chars")

    def __init__(self, config: Config, arrival: float) -> None:
        limits = config.limits
        self.text_chars = limits.text_chars
        self.latest = arrival + limits.clock_skew_s
        self.flags: tuple[str, ...] = ()

    def note(self, flag: str) -> None:
        """Add a flag once; flags are kept in alphabetical order."""
        if flag not in self.flags:
            self.flags = tuple(sorted((*self.flags, flag)))

    def asked(self, before: tuple[str, ...]) -> None:
        """Say that what was noted since the prompt began was lost from the prompt."""
        lost = [f"prompt_{flag}" for flag in self.flags if flag in _LOST]
        self.flags = tuple(sorted({*before, *self.flags, *lost}))


def identifier(value: Any, reading: Reading) -> str:
    """An id: 1 to 128 characters, none of them a control character."""
    if not isinstance(value, str) or not 0 < len(value) <= ID_CHARS:
        raise BadRecord("bad_id")
    # U+FFFD stands where a text was damaged: two damaged ids would be one.
    if "\ufffd" in value or (not value.isprintable() and _has_control(value)):
        raise BadRecord("bad_id")
    return value


def moment(value: Any, reading: Reading) -> float:
    """A point in time in epoch seconds, not after the arrival."""
    kind = type(value)
    if kind is str:
        at = _rfc3339(value)
    elif kind is float or kind is int:
        at = value
    else:
        raise BadRecord("bad_time")
    # Written so that NaN fails too.
    if not 0.0 <= at <= YEAR_2100:
        raise BadRecord("bad_time")
    if at > reading.latest:
        raise BadRecord("future")
    return float(at)


def text(value: Any, reading: Reading) -> str | None:
    """A text as it came, capped and without NUL; None where a redactor left its placeholder."""
    if type(value) is not str:
        raise BadRecord("bad_text")
    if len(value) > reading.text_chars or "\0" in value:
        return _clean(value, reading, reading.text_chars)
    if len(value) <= _PLACEHOLDER_CHARS and value.lower() in _PLACEHOLDERS:
        reading.note("redacted")
        return None
    return value


def name(value: Any, reading: Reading) -> str | None:
    """A short word that may become a label or a column; None when it is empty."""
    if type(value) is not str:
        raise BadRecord("bad_text")
    if len(value) > NAME_CHARS or "\0" in value:
        return _clean(value, reading, NAME_CHARS)
    return value or None


def model(value: Any, reading: Reading) -> str:
    """A model's name; without one a call is in no series."""
    found = name(value, reading)
    if found is None:
        raise BadRecord("bad_model")
    return found


def unit(value: Any, reading: Reading) -> str | None:
    """A randomisation unit in one normal form, so that two spellings are one unit."""
    if isinstance(value, str) and not value.isascii():
        value = unicodedata.normalize("NFC", value)
    return name(value.strip() if isinstance(value, str) else value, reading)


def number(value: Any, reading: Reading) -> float:
    """A finite number that is not negative."""
    kind = type(value)
    if (kind is float or kind is int) and 0 <= value <= EXACT:
        return value if kind is float else float(value)
    raise BadRecord("bad_number")


def tokens(value: Any, reading: Reading) -> int:
    """A whole number of tokens, up to 1e9."""
    if type(value) is int and 0 <= value <= TOKENS:
        return value
    # Some emitters have no integers: 18.0 is 18.
    if type(value) is float and 0 <= value <= TOKENS and value.is_integer():
        return int(value)
    raise BadRecord("bad_number")


def judgement(value: Any, reading: Reading) -> float:
    """A person's feedback, -1 to 1."""
    if type(value) in (int, float) and -1 <= value <= 1:
        return float(value)
    raise BadRecord("bad_number")


def texts(value: Any, reading: Reading) -> tuple[str, ...]:
    """A list of texts; more than 100 are cut off."""
    if not isinstance(value, list):
        raise BadRecord("bad_text")
    if len(value) > CONTEXTS:
        reading.note("truncated")
    read = (text(each, reading) for each in value[:CONTEXTS])
    return tuple(each for each in read if each is not None)


def segment(value: Any, reading: Reading) -> tuple[tuple[str, str], ...]:
    """Pairs of words in alphabetical order; more than 16 are cut off."""
    if type(value) is not dict:
        raise BadRecord("bad_text")
    rows = sorted(value.items())
    if len(rows) > SEGMENTS:
        rows = rows[:SEGMENTS]
        reading.note("truncated")
    read = [(name(key, reading), name(word, reading)) for key, word in rows]
    return tuple([(key, word) for key, word in read if key and word])


def word_of(*allowed: str) -> Any:
    """A reader for a field that takes a closed set of words."""
    known = frozenset(allowed)

    def read(value: Any, reading: Reading) -> str:
        if isinstance(value, str) and value in known:
            return value
        raise BadRecord("bad_value")

    return read


def _clean(value: str, reading: Reading, most: int) -> str:
    if len(value) > most:
        value = value[:most]
        reading.note("truncated")
    if "\0" in value:
        value = value.replace("\0", "\ufffd")
        reading.note("sanitised")
    return value


def _has_control(value: str) -> bool:
    return any(unicodedata.category(char) in ("Cc", "Cs") for char in value)


def _rfc3339(value: str) -> float:
    if not _RFC3339.fullmatch(value):
        raise BadRecord("bad_time")
    try:
        return datetime.fromisoformat(value.upper()).timestamp()
    except (ValueError, OverflowError):
        raise BadRecord("bad_time") from None
