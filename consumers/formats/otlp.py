"""OTLP traces and logs to calls and halves.

A span that carries texts is a call. One that carries none is a half that waits for its log events,
and they for it, unless `intake.join_wait_s` is 0. Of one request that both its client and the
server (vLLM) traced, the client's span counts: a server's span is filtered when another model span
of its trace is in the same message.
"""

import re
from collections.abc import Callable
from typing import Any

from agent.config import Config
from agent.errors import BadRecord
from agent.experiments import ASIDE
from agent.record import Call, Filtered, Half, Item, Reject
from consumers.formats import events, fields, genai
from consumers.formats.fields import Reading
from consumers.formats.parameters import of_span
from consumers.formats.telemetry import SERVER, Attributes, Batch, Event, LogEvent, Span

_ID = re.compile(r"(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}", re.ASCII)

_AMOUNTS: tuple[tuple[str, Callable[[Any, Reading], float], tuple[str, ...]], ...] = (
    ("tokens_in", fields.tokens, genai.TOKENS_IN),
    ("tokens_out", fields.tokens, genai.TOKENS_OUT),
    ("cost_usd", fields.number, genai.COST),
)


def items(batch: Batch, config: Config, arrival: float) -> list[Item]:
    """The calls, halves and rejects of one OTLP message; what is about no model is left out."""
    kinds = [(genai.kind_of(span.attributes, span.scope), span) for span in batch.spans]
    traced = {s.trace_id for kind, s in kinds if kind == "chat" and not _is_server(s)}
    found: list[Item] = []
    for kind, span in kinds:
        if kind == "chat":
            found.append(_guarded(_from_span, span, traced, config, arrival))
        elif kind == "other":
            found.append(Filtered("not_chat"))
    grouped: dict[tuple[str, str], list[LogEvent]] = {}
    for log in filter(events.is_ours, batch.logs):
        grouped.setdefault((log.trace_id, log.span_id), []).append(log)
    for logs in grouped.values():
        logs.sort(key=lambda log: log.time_ns)
        found.append(_guarded(_from_logs, logs, config, arrival))
    return found or ([Filtered("metrics")] if batch.metrics else [])


def _guarded(read: Callable[..., Item], *told: Any) -> Item:
    try:
        return read(*told)
    except BadRecord as error:
        return Reject(error.reason, error.detail)


def _from_span(span: Span, traced: set[str], config: Config, arrival: float) -> Item:
    if _is_server(span) and span.trace_id in traced:
        return Filtered("server_twin")
    if genai.first(span.attributes, genai.OWN_SHADOW) is not None:
        # The shadow process sends this answer as its own record.
        return Filtered("own_shadow")
    reading = Reading(config, arrival)
    model = genai.model_of(span.attributes, reading)
    if model is None:
        raise BadRecord("bad_model")
    content = genai.content_of(span.attributes, reading) or events.content_of(span, reading)
    call = _call(span, model, content, config, reading)
    if content or config.intake.join_wait_s == 0:
        return call
    return Half(call.id, "span", call)


def _call(
    span: Span, model: str, content: dict[str, Any], config: Config, reading: Reading
) -> Call:
    key = _key(span.trace_id, span.span_id)
    at = fields.moment(span.start_ns / 1e9 if span.start_ns > 0 else None, reading)
    if 0 < span.end_ns < span.start_ns:
        raise BadRecord("bad_time", "endTimeUnixNano")
    error = genai.error_of(span)
    late = error is not None and genai.is_timeout(error)
    return Call(
        id=key,
        at=at,
        model=model,
        latency_s=(span.end_ns - span.start_ns) / 1e9 if span.end_ns > 0 else None,
        ttft_s=genai.ttft_of(span, reading),
        status="ok" if error is None else "timeout" if late else "error",
        error=None if error is None else fields.name(error, reading),
        **_shared(span.attributes, span.resource, span.events, content, config, reading),
        flags=reading.flags,
    )


def _from_logs(logs: list[LogEvent], config: Config, arrival: float) -> Item:
    reading = Reading(config, arrival)
    key = _key(logs[0].trace_id, logs[0].span_id)
    attributes: Attributes = {}
    for log in logs:
        attributes.update(log.attributes)
    if genai.kind_of(attributes, "") == "other":
        return Filtered("not_chat")
    content = events.content_of_logs(logs, reading)
    start = logs[0].time_ns
    call = Call(
        id=key,
        at=fields.moment(start / 1e9 if start > 0 else None, reading),
        model=genai.model_of(attributes, reading) or "",
        **_shared(attributes, logs[0].resource, (), content, config, reading),
        flags=reading.flags,
    )
    return Half(key, "log", call)


def _shared(
    attributes: Attributes,
    resource: Attributes,
    happened: tuple[Event, ...],
    content: dict[str, Any],
    config: Config,
    reading: Reading,
) -> dict[str, Any]:
    """The fields that a span and a structured log event say alike."""
    variant = _variant(attributes, happened, reading)
    found: dict[str, Any] = {
        "service": genai.word(resource, ("service.name",), reading) or config.service,
        "variant": variant,
        "origin": "shadow" if variant.startswith(ASIDE) else "production",
        "unit": genai.word(attributes, genai.UNIT, reading),
        "session": genai.word(attributes, genai.SESSION, reading),
        "segment": _segment(attributes, resource, config, reading),
        "parameters": of_span(
            attributes, genai.parsed_or_text(attributes.get(genai.INVOCATION)), reading
        ),
    }
    for name, read, aliases in _AMOUNTS:
        value = genai.first(attributes, aliases)
        if value is not None:
            found[name] = read(value, reading)
    finish = genai.word(attributes, genai.FINISH, reading) or content.get("finish")
    return {**found, **content, "finish": finish}


def _variant(attributes: Attributes, happened: tuple[Event, ...], reading: Reading) -> str:
    flagged: Attributes = {}
    for event in happened:
        if event.name.startswith("feature_flag"):
            flagged.update(event.attributes)
    found = (genai.word(where, genai.VARIANT, reading) for where in (attributes, flagged))
    return next((each for each in found if each), "production")


def _segment(
    attributes: Attributes, resource: Attributes, config: Config, reading: Reading
) -> tuple[tuple[str, str], ...]:
    keys = {genai.ENVIRONMENT, *config.segments}
    words = {key: attributes.get(key) or resource.get(key) for key in keys}
    found = {key: str(word) for key, word in words.items() if isinstance(word, (str, int, float))}
    return fields.segment(found, reading)


def _key(trace_id: str, span_id: str) -> str:
    key = f"{trace_id}-{span_id}"
    if not _ID.fullmatch(key):
        raise BadRecord("bad_id", "trace or span id")
    return key


def _is_server(span: Span) -> bool:
    return span.kind == SERVER or span.scope.startswith("vllm")
