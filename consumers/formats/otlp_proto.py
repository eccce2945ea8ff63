"""OTLP protobuf: ExportTraceServiceRequest and ExportLogsServiceRequest, told apart."""

from collections.abc import Iterable
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

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


def read(value: bytes) -> Batch:
    """The spans or log records of one message.

    Nothing in the bytes says which of the three messages they are: all have their rows at the
    same place. A span starts with two ids of 16 and 8 bytes; a log record has fixed-width times
    there and its ids further back; a metric has a name and data.
    """
    traces = _parse(ExportTraceServiceRequest, value)
    if traces is not None and _are_spans(traces):
        return _spans(traces)
    logs = _parse(ExportLogsServiceRequest, value)
    if logs is not None and _are_logs(logs):
        return _logs(logs)
    metrics = _parse(ExportMetricsServiceRequest, value)
    if metrics is not None and _are_metrics(metrics):
        return Batch(metrics=True)
    if traces is None and logs is None:
        raise BadRecord("protobuf", "no OTLP message")
    if (traces and _has_rows(traces)) or (logs and _has_rows(logs)):
        raise BadRecord("protobuf", "neither spans nor log records")
    return Batch()


def _parse(kind: type[Any], value: bytes) -> Any:
    message = kind()
    try:
        message.ParseFromString(value)
    except (DecodeError, RecursionError):
        return None
    return message


def _rows(message: Any) -> Iterable[Any]:
    if isinstance(message, ExportTraceServiceRequest):
        return (s for r in message.resource_spans for p in r.scope_spans for s in p.spans)
    if isinstance(message, ExportLogsServiceRequest):
        return (s for r in message.resource_logs for p in r.scope_logs for s in p.log_records)
    return (s for r in message.resource_metrics for p in r.scope_metrics for s in p.metrics)


def _has_rows(message: Any) -> bool:
    return any(True for _ in _rows(message))


def _are_spans(message: Any) -> bool:
    return any(len(s.span_id) == 8 and len(s.trace_id) == 16 for s in _rows(message))


def _are_logs(message: Any) -> bool:
    return any(s.time_unix_nano or s.observed_time_unix_nano for s in _rows(message))


def _are_metrics(message: Any) -> bool:
    return any(s.name and s.WhichOneof("data") for s in _rows(message))


def _spans(message: Any) -> Batch:
    batch = Batch()
    for group in message.resource_spans:
        resource = _attributes(group.resource.attributes)
        for part in group.scope_spans:
            scope = part.scope.name
            batch.spans += [_span(span, scope, resource) for span in part.spans]
    return batch


def _span(span: Any, scope: str, resource: Attributes) -> Span:
    return Span(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code,
        scope,
        _attributes(span.attributes),
        resource,
        tuple(Event(e.name, e.time_unix_nano, _attributes(e.attributes)) for e in span.events),
    )


def _logs(message: Any) -> Batch:
    batch = Batch()
    for group in message.resource_logs:
        resource = _attributes(group.resource.attributes)
        for part in group.scope_logs:
            batch.logs += [_log(record, resource) for record in part.log_records]
    return batch


def _log(record: Any, resource: Attributes) -> LogEvent:
    attributes = _attributes(record.attributes)
    name = record.event_name or attributes.get("event.name")
    return LogEvent(
        record.trace_id.hex(),
        record.span_id.hex(),
        name if isinstance(name, str) else "",
        record.observed_time_unix_nano or record.time_unix_nano,
        _value(record.body, 0),
        attributes,
        resource,
    )


def _attributes(rows: Iterable[Any]) -> Attributes:
    return {row.key: _value(row.value, 0) if is_read(row.key) else None for row in rows}


def _value(value: Any, depth: int) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if depth > VALUE_DEPTH:
        raise BadRecord("too_deep", "attribute value")
    if kind == "array_value":
        return [_value(each, depth + 1) for each in value.array_value.values]
    if kind == "kvlist_value":
        return {row.key: _value(row.value, depth + 1) for row in value.kvlist_value.values}
    return getattr(value, kind)
