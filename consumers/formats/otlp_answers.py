"""What OTLP over HTTP answers: a response with what was refused in it, or a status with a reason.

The OTLP specification, "OTLP/HTTP Response": a message is answered in the encoding that it came in;
JSON carries a 64-bit integer as a decimal string.
"""

import json
from typing import Literal

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

Signal = Literal["traces", "logs"]

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_STATUS_BYTES = 127  # a length that is one byte
_ROWS = {"traces": "rejectedSpans", "logs": "rejectedLogRecords"}


def response(signal: Signal, encoding: str, rejected: int, why: str) -> bytes:
    """The message was taken, but for so many of its spans or log records."""
    if encoding == JSON:
        part = {_ROWS[signal]: str(rejected), "errorMessage": why}
        return json.dumps({"partialSuccess": part} if rejected else {}).encode()
    if not rejected:
        return b""
    if signal == "traces":
        spans = ExportTracePartialSuccess(rejected_spans=rejected, error_message=why)
        return ExportTraceServiceResponse(partial_success=spans).SerializeToString()
    logs = ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=why)
    return ExportLogsServiceResponse(partial_success=logs).SerializeToString()


def status(encoding: str, why: str) -> bytes:
    """The message was not taken: google.rpc.Status, of which only `message` (field 2) is used."""
    if encoding == JSON:
        return json.dumps({"message": why}).encode()
    text = why.encode("ascii", "replace")[:_STATUS_BYTES]
    return bytes((2 << 3 | 2, len(text))) + text
