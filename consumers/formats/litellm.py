"""LiteLLM's StandardLoggingPayload, as its callbacks and its proxy post it.

Facts that bite: `response_time` of a stream is the time to its first token, so the duration is
always `endTime - startTime`; a failed call says 0 tokens; `model` carries the provider's prefix and
`model_group` is the name that was asked for. Messages of errors and tracebacks are never read.

A `silent_model` call is marked nowhere in the payload: it is known by its model group, which
`intake.silent_models` names. Twin and production call share nothing but `trace_id`, so where silent
models are configured both sides carry it as `pair`: `pair or id` then samples both alike, and the
two are joined by an equal `pair` (a trace with several calls of one group cannot be paired).
"""

from collections.abc import Callable
from typing import Any

from agent.config import Config
from agent.errors import BadRecord
from agent.experiments import ASIDE
from agent.record import Call, Filtered, Origin, Status
from consumers.formats import fields, messages
from consumers.formats.fields import Reading
from consumers.formats.parameters import parameters

# Keys that only this payload has; two of them make a LiteLLM record.
MARKS = ("startTime", "litellm_call_id", "call_type", "model_group", "response_cost")
OWN_SHADOW_HEADER = "x-vedette-shadow"

_CHAT = {
    "completion",
    "text_completion",
    "responses",
    "anthropic_messages",
    "generate_content",
    "generate_content_stream",
}
_AMOUNTS: tuple[tuple[str, str, Callable[[Any, Reading], float]], ...] = (
    ("prompt_tokens", "tokens_in", fields.tokens),
    ("completion_tokens", "tokens_out", fields.tokens),
    ("response_cost", "cost_usd", fields.number),
)
_TIMEOUT_CODES = {"408", "504"}


def is_litellm(document: dict[str, Any]) -> bool:
    """Whether the keys of an object are those of a StandardLoggingPayload."""
    return sum(mark in document for mark in MARKS) >= 2


def call(document: dict[str, Any], config: Config, arrival: float) -> Call | Filtered:
    """One payload as a call; embeddings, images and the like are filtered."""
    kind = document.get("call_type")
    # Each kind has an asynchronous twin with an "a" before it.
    if isinstance(kind, str) and kind and kind not in _CHAT and kind.removeprefix("a") not in _CHAT:
        return Filtered("not_chat")
    if OWN_SHADOW_HEADER in _headers(_object(document, "metadata")):
        # The shadow process sends this answer as its own record.
        return Filtered("own_shadow")
    reading = Reading(config, arrival)
    prompt, turns = messages.conversation(document.get("messages"), reading)
    response, finish = messages.answer(document.get("response") or None, reading)
    return Call(
        id=_id(document, reading),
        service=config.service,
        session=_name(document.get("session_id"), reading),
        prompt=prompt,
        messages=turns,
        response=response,
        finish=finish,
        pair=_pair(document, config, reading),
        parameters=parameters(_object(document, "model_parameters"), reading),
        **_belongs(document, config, reading),
        **_measured(document, reading),
        flags=reading.flags,
    )


def _id(document: dict[str, Any], reading: Reading) -> str:
    """The id of the client's call, and one of its own for an attempt at it that failed.

    LiteLLM tries again under the same id: the answer in the end would count as a duplicate.
    """
    said = fields.identifier(document.get("litellm_call_id") or document.get("id"), reading)
    return f"failed:{said}"[: fields.ID_CHARS] if document.get("status") == "failure" else said


def _belongs(document: dict[str, Any], config: Config, reading: Reading) -> dict[str, Any]:
    metadata, model = _object(document, "metadata"), _model(document, reading)
    variant, origin = _variant(document, metadata, model, config, reading)
    return {
        "model": model,
        "variant": variant,
        "origin": origin,
        "unit": _unit(document, metadata, reading),
        "segment": _segment(document, metadata, config, reading),
    }


def _measured(document: dict[str, Any], reading: Reading) -> dict[str, Any]:
    at, latency_s, ttft_s = _times(document, reading)
    found: dict[str, Any] = {"at": at, "latency_s": latency_s}
    failed = document.get("status") == "failure"
    if failed:
        found["status"], found["error"] = _failure(document, reading)
    else:
        found["ttft_s"] = ttft_s
    for key, name, read in _AMOUNTS:
        value = document.get(key)
        # A failed call says 0 for "not known".
        if value is not None and not (failed and value == 0):
            found[name] = read(value, reading)
    return found


def _times(document: dict[str, Any], reading: Reading) -> tuple[float, float | None, float | None]:
    at = fields.moment(document.get("startTime"), reading)
    latency_s = _since(at, document.get("endTime"))
    streamed = document.get("stream") is True
    ttft_s = _since(at, document.get("completionStartTime")) if streamed else None
    return at, latency_s, ttft_s


def _since(at: float, end: Any) -> float | None:
    """Seconds from the start; the end of a call is held to no clock but its own start."""
    if end is None:
        return None
    if isinstance(end, bool) or not isinstance(end, (int, float)):
        raise BadRecord("bad_time")
    if not at <= end <= fields.YEAR_2100:
        raise BadRecord("bad_time")
    return float(end - at)


def _model(document: dict[str, Any], reading: Reading) -> str:
    model = _name(document.get("model_group"), reading)
    if model is None:
        model = _name(document.get("model"), reading)
        provider = document.get("custom_llm_provider")
        if model and isinstance(provider, str) and provider:
            model = model.removeprefix(f"{provider}/")
    if not model:
        raise BadRecord("bad_model", "model")
    return model


def _failure(document: dict[str, Any], reading: Reading) -> tuple[Status, str]:
    said = _object(document, "error_information")
    parts = [said.get(key) for key in ("normalized_error", "error_class", "error_code")]
    words = [part for part in parts if isinstance(part, str) and part]
    late = said.get("error_code") in _TIMEOUT_CODES or any("timeout" in w.lower() for w in words)
    error = (fields.name(words[0], reading) if words else None) or "error"
    return ("timeout" if late else "error"), error


def _variant(
    document: dict[str, Any],
    metadata: dict[str, Any],
    model: str,
    config: Config,
    reading: Reading,
) -> tuple[str, Origin]:
    if model in config.intake.silent_models:
        return f"shadow:{model}"[: fields.NAME_CHARS], "shadow"
    headers = _headers(metadata)
    said = [_tags(document).get("variant")]
    said += [headers.get(header.lower()) for header in config.intake.variant_headers]
    said.append(_object(metadata, "requester_metadata").get("variant"))
    found = (_name(each, reading) for each in said)
    variant = next((each for each in found if each), "production")
    return variant, "shadow" if variant.startswith(ASIDE) else "production"


def _pair(document: dict[str, Any], config: Config, reading: Reading) -> str | None:
    trace = document.get("trace_id")
    if not config.intake.silent_models or not trace:
        return None
    try:
        return fields.identifier(trace, reading)
    except BadRecord:
        # Without a usable trace the call is whole, only unpaired.
        return None


def _unit(document: dict[str, Any], metadata: dict[str, Any], reading: Reading) -> str | None:
    for value in (
        document.get("end_user"),
        metadata.get("user_api_key_end_user_id"),
        _object(document, "model_parameters").get("user"),
    ):
        if isinstance(value, str) and value:
            return fields.unit(value, reading)
    return None


def _segment(
    document: dict[str, Any], metadata: dict[str, Any], config: Config, reading: Reading
) -> tuple[tuple[str, str], ...]:
    if not config.segments:
        return ()
    tags, asked = _tags(document), _object(metadata, "requester_metadata")
    found = {key: tags.get(key) or asked.get(key) for key in config.segments}
    return fields.segment({key: word for key, word in found.items() if _is_word(word)}, reading)


def _tags(document: dict[str, Any]) -> dict[str, str]:
    tags = document.get("request_tags")
    rows = tags[: messages.PARTS] if isinstance(tags, list) else []
    pairs = (tag.partition(":") for tag in rows if isinstance(tag, str) and ":" in tag)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _headers(metadata: dict[str, Any]) -> dict[str, Any]:
    asked = _object(metadata, "requester_metadata")
    rows = {**_object(asked, "headers"), **_object(metadata, "requester_custom_headers")}
    return {key.lower(): value for key, value in rows.items()}


def _object(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _name(value: Any, reading: Reading) -> str | None:
    return fields.name(value, reading) if _is_word(value) else None
