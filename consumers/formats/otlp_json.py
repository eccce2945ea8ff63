"""OTLP/JSON by hand: lowerCamelCase keys, hex ids of either case, integers as decimal strings.

Unknown fields are ignored. The protobuf library's own JSON reader takes ids for base64 and makes
other ids of them without a word, so it is not used.
"""

from typing import Any

from agent.errors import BadRecord
from consumers.formats.telemetry import (
    VALUE_DEPTH,
    Attributes,
    Batch,
    Event,
    LogEvent,
    Span,
    is_read,
)

ROOTS = ("resourceSpans", "resourceLogs", "resourceMetrics")

# OTLP/JSON says integers; the protobuf library writes names unless it is told otherwise.
_NAMED = {"SPAN_KIND_SERVER": 2, "SPAN_KIND_CLIENT": 3, "STATUS_CODE_ERROR": 2}


def read(document: Any) -> Batch:
    """The spans and log records of one document."""
    if not isinstance(document, dict):
        raise BadRecord("not_an_object")
    batch = Batch(metrics="resourceMetrics" in document)
    if not any(root in document for root in ROOTS):
        raise BadRecord("bad_otlp", "neither resourceSpans nor resourceLogs")
    for group in _rows(document, "resourceSpans"):
        resource = _resource(group)
        for part in _rows(group, "scopeSpans"):
            scope = str(_object(part, "scope").get("name") or "")
            batch.spans += [_span(span, scope, resource) for span in _rows(part, "spans")]
    for group in _rows(document, "resourceLogs"):
        resource = _resource(group)
        for part in _rows(group, "scopeLogs"):
            batch.logs += [_log(record, resource) for record in _rows(part, "logRecords")]
    return batch


def _span(span: dict[str, Any], scope: str, resource: Attributes) -> Span:
    events = (
        Event(_text(e, "name"), _integer(e.get("timeUnixNano")), _attributes(e))
        for e in _rows(span, "events")
    )
    return Span(
        _text(span, "traceId").lower(),
        _text(span, "spanId").lower(),
        _enum(span.get("kind")),
        _integer(span.get("startTimeUnixNano")),
        _integer(span.get("endTimeUnixNano")),
        _enum(_object(span, "status").get("code")),
        scope,
        _attributes(span),
        resource,
        tuple(events),
    )


def _log(record: dict[str, Any], resource: Attributes) -> LogEvent:
    attributes = _attributes(record)
    name = record.get("eventName") or attributes.get("event.name")
    observed = _integer(record.get("observedTimeUnixNano"))
    return LogEvent(
        _text(record, "traceId").lower(),
        _text(record, "spanId").lower(),
        name if isinstance(name, str) else "",
        observed or _integer(record.get("timeUnixNano")),
        _value(record.get("body"), 0),
        attributes,
        resource,
    )


def _resource(group: dict[str, Any]) -> Attributes:
    return _attributes(_object(group, "resource"))


def _attributes(owner: dict[str, Any]) -> Attributes:
    return _pairs(owner, "attributes", 0)


def _pairs(owner: dict[str, Any], key: str, depth: int) -> Attributes:
    rows = ((row.get("key"), row.get("value")) for row in _rows(owner, key))
    return {
        name: _value(value, depth) if is_read(name) else None
        for name, value in rows
        if isinstance(name, str)
    }


def _value(value: Any, depth: int) -> Any:
    if not isinstance(value, dict) or not value:
        return None
    if depth > VALUE_DEPTH:
        raise BadRecord("too_deep", "attribute value")
    for key in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
        if key in value:
            return value[key]
    if "intValue" in value:
        return _integer(value["intValue"])
    if "arrayValue" in value:
        rows = _object(value, "arrayValue").get("values")
        return [_value(each, depth + 1) for each in rows] if isinstance(rows, list) else []
    return _pairs(_object(value, "kvlistValue"), "values", depth + 1)


def _rows(owner: dict[str, Any], key: str) -> list[dict[str, Any]]:
    rows = owner.get(key)
    if rows is None:
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadRecord("bad_otlp", key)
    return rows


def _object(owner: dict[str, Any], key: str) -> dict[str, Any]:
    value = owner.get(key)
    return value if isinstance(value, dict) else {}


def _text(owner: dict[str, Any], key: str) -> str:
    value = owner.get(key)
    return value if isinstance(value, str) else ""


def _enum(value: Any) -> int:
    return _NAMED.get(value, 0) if isinstance(value, str) else _integer(value)


def _integer(value: Any) -> int:
    """A 64-bit integer, which JSON carries as a decimal string; -1 when it is none."""
    if value is None:
        return 0
    # Twenty digits hold 2^64, and a longer string is not worth converting.
    if isinstance(value, str) and len(value) <= 20 and value.removeprefix("-").isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
