"""Our own record: one call as a JSON object; unknown fields are kept out and flagged."""

from collections.abc import Callable
from dataclasses import field, make_dataclass
from dataclasses import fields as of
from typing import Any, cast

from agent.config import Config
from agent.errors import BadRecord
from agent.experiments import ASIDE
from agent.record import JUDGE, UNKNOWN_FIELDS, Call, Feedback, Message
from consumers.formats import fields, messages
from consumers.formats.fields import Reading
from consumers.formats.parameters import parameters


def _prompt(value: Any, reading: Reading) -> tuple[str | None, tuple[Message, ...]]:
    if type(value) is str or (isinstance(value, list) and all(map(_is_turn, value))):
        return messages.conversation(value, reading)
    raise BadRecord("bad_text")


def _is_turn(turn: Any) -> bool:
    if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
        return False
    content = turn.get("content")
    return content is None or isinstance(content, (str, list))


FIELDS: dict[str, Callable[[Any, Reading], Any]] = {
    "id": fields.identifier,
    "at": fields.moment,
    "service": fields.name,
    "model": fields.model,
    "variant": fields.name,
    "unit": fields.unit,
    "session": fields.name,
    "segment": fields.segment,
    "prompt": _prompt,
    "response": fields.text,
    "contexts": fields.texts,
    "reference": fields.text,
    "latency_s": fields.number,
    "ttft_s": fields.number,
    "tokens_in": fields.tokens,
    "tokens_out": fields.tokens,
    "cost_usd": fields.number,
    "status": fields.word_of("ok", "error", "timeout"),
    "error": fields.name,
    "finish": fields.name,
    "origin": fields.word_of("production", "shadow", "dataset"),
    "pair": fields.identifier,
    "feedback": fields.judgement,
    "parameters": parameters,
}
_REQUIRED = (("id", "bad_id"), ("at", "bad_time"), ("model", "bad_model"))


# A frozen class sets each of its 27 fields by a call: 2.0 microseconds of a record's 8. The same
# slots in a class that is not frozen take 0.5, and are a Call from the moment they leave here.
_Thawed = make_dataclass(
    "_Thawed", [(f.name, Any, field(default=f.default)) for f in of(Call)], slots=True
)

# Walked instead of the document: these keys are the very strings that Call's parameters are, and
# others would be compared letter by letter (2 microseconds a record).
_FIELDS = tuple(FIELDS.items())


def call(document: dict[str, Any], config: Config, arrival: float) -> Call | Feedback:
    """One native record as a call, or as the later judgement of one."""
    reading = Reading(config, arrival)
    if "feedback_for" in document:
        return _feedback(document, reading)
    found = _read(document, reading)
    known = len(found)
    if "id" not in found or "at" not in found or "model" not in found:
        raise next(BadRecord(why, key) for key, why in _REQUIRED if key not in found)
    if "prompt" in found:
        found["prompt"], found["messages"] = found["prompt"]
    if not found.get("service"):
        found["service"] = config.service
    variant = found.get("variant")
    if variant is None:
        found["variant"] = "production"
    elif variant.startswith(ASIDE) and found.get("origin") != "dataset":
        # A twin or a probe must not be counted as production, whatever its record says.
        found["origin"] = "shadow"
    if len(document) > known and not document.keys() <= FIELDS.keys():
        reading.note(UNKNOWN_FIELDS)
    if reading.flags:
        found["flags"] = reading.flags
    whole: Any = _Thawed(**found)
    whole.__class__ = Call
    return cast(Call, whole)


def _read(document: dict[str, Any], reading: Reading) -> dict[str, Any]:
    found: dict[str, Any] = {}
    given = document.get
    key = ""
    try:
        for key, read in _FIELDS:
            value = given(key)
            if value is not None:
                found[key] = read(value, reading)
    except BadRecord as error:
        raise BadRecord(error.reason, key) from None
    return found


def _feedback(document: dict[str, Any], reading: Reading) -> Feedback:
    judge = document.get("judge")
    if judge is not None and not (isinstance(judge, str) and JUDGE.fullmatch(judge)):
        raise BadRecord("bad_text", "judge")
    return Feedback(
        fields.identifier(document["feedback_for"], reading),
        fields.moment(document.get("at"), reading),
        fields.judgement(document.get("value"), reading),
        judge or "",
    )
