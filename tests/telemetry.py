"""OTLP documents for the tests: spans and log events in JSON, and the same as protobuf."""

import base64
import copy
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

AT, TRACE, SPAN = 1_700_000_000, "0AF7651916CD43DD8448EB211C80319C", "B7AD6B7169203331"
KEY = f"{TRACE}-{SPAN}".lower()
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m-8b"}
ASKED = '[{"role": "user", "parts": [{"type": "text", "content": "Hello?"}], "name": null}]'
SAID = (
    '[{"role": "assistant", "parts": [{"type": "text", "content": "Hi."}], "finish_reason": "x"}]'
)


def value(plain: Any) -> dict[str, Any]:
    """A plain value as an AnyValue."""
    if plain is None:
        return {}
    if isinstance(plain, bool):
        return {"boolValue": plain}
    if isinstance(plain, int):
        return {"intValue": str(plain)}
    if isinstance(plain, float):
        return {"doubleValue": plain}
    if isinstance(plain, str):
        return {"stringValue": plain}
    if isinstance(plain, list):
        return {"arrayValue": {"values": [value(each) for each in plain]}}
    return {"kvlistValue": {"values": pairs(plain)}}


def pairs(plain: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(each)} for key, each in plain.items()]


def span(attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE, "spanId": SPAN, "name": "chat m-8b", "kind": 3,
        "startTimeUnixNano": f"{AT}500000000", "endTimeUnixNano": f"{AT + 2}000000000",
        "attributes": pairs(attributes), "status": {}, "flags": 256, **more,
    }  # fmt: skip


def event(name: str, body: Any = None, after_ms: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE, "spanId": SPAN, "eventName": name, "body": value(body),
        "observedTimeUnixNano": f"{AT}{500 + after_ms:03}000000", "attributes": [], **more,
    }  # fmt: skip


def traces(*spans: dict[str, Any], scope: str = "x", **resource: Any) -> dict[str, Any]:
    group = {"scope": {"name": scope}, "spans": list(spans)}
    attributes = pairs({"service.name": "bot", **resource})
    return {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [group]}]}


def logs(*records: dict[str, Any]) -> dict[str, Any]:
    group = {"logRecords": list(records)}
    resource = {"attributes": pairs({"service.name": "bot"})}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [group]}]}


def protobuf(document: dict[str, Any]) -> bytes:
    document = copy.deepcopy(document)
    kind, outer, inner, rows = (
        (ExportTraceServiceRequest, "resourceSpans", "scopeSpans", "spans")
        if "resourceSpans" in document
        else (ExportLogsServiceRequest, "resourceLogs", "scopeLogs", "logRecords")
    )
    for group in document[outer]:
        for part in group[inner]:
            for row in part[rows]:
                for key in ("traceId", "spanId"):
                    row[key] = base64.b64encode(bytes.fromhex(row[key])).decode()
    return ParseDict(document, kind()).SerializeToString()


CURRENT = {
    **CHAT,
    "gen_ai.response.model": "m-8b-0613",
    "gen_ai.usage.input_tokens": 3,
    "gen_ai.usage.output_tokens": 4,
    "gen_ai.response.time_to_first_chunk": 0.25,
    "gen_ai.response.finish_reasons": ["stop"],
}


PROMPTS: dict[str, dict[str, Any]] = {
    "structured": {
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "Hello?"}],
                                   "name": None}],
        "gen_ai.output.messages": [{"role": "assistant", "finish_reason": "x",
                                    "parts": [{"type": "text", "content": "Hi."}]}],
    },
    "flattened": {
        "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Hello?",
        "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "Hi.",
    },
    "attributes": {"gen_ai.prompt": '[{"role": "user", "content": "Hello?"}]',
                   "gen_ai.completion": '[{"role": "assistant", "content": "Hi."}]'},
    "plain texts": {"gen_ai.prompt": "Hello?", "gen_ai.completion": "Hi."},
    "openinference": {
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "Hello?",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "Hi.",
        "input.value": "not this", "output.value": "not this",
    },
    "openinference parts": {
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.contents.0.message_content.type": "text",
        "llm.input_messages.0.message.contents.0.message_content.text": "Hello?",
        "llm.output_messages.0.message.content": "Hi.",
    },
    "openinference values": {
        "input.value": '{"model": "m", "messages": [{"role": "user", "content": "Hello?"}]}',
        "output.value": '{"choices": [{"message": {"content": "Hi."}}]}',
    },
}  # fmt: skip
