"""The alias table: one name of ours, and every name it has in the field, best first.

OpenTelemetry GenAI from 1.26 to its own repository, vLLM's server spans, OpenLLMetry before and
after it took over those names, and OpenInference.
"""

import re
from typing import Any

from agent.errors import BadRecord
from consumers.formats import documents, fields, messages
from consumers.formats.fields import Reading
from consumers.formats.telemetry import STATUS_ERROR, Attributes, Span

MODEL = ("gen_ai.request.model", "llm.model_name", "llm.request.model", "gen_ai.response.model")
TOKENS_IN = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.token_count.prompt",
    "llm.usage.prompt_tokens",
)
TOKENS_OUT = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
    "llm.usage.completion_tokens",
)
TTFT = (
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.latency.time_to_first_token",
    "gen_ai.server.time_to_first_token",
)
FIRST_TOKEN_EVENTS = ("gen_ai.content.completion.chunk", "First Token Stream Event")
COST = ("llm.cost.total", "gen_ai.usage.cost")
FINISH = (
    "gen_ai.response.finish_reasons",
    "llm.finish_reason",
    "gen_ai.completion.0.finish_reason",
    "llm.response.finish_reason",
)
SESSION = (
    "gen_ai.conversation.id",
    "session.id",
    "traceloop.association.properties.session_id",
)
UNIT = (
    "user.id",
    "enduser.id",
    "enduser.pseudo.id",
    "traceloop.association.properties.user_id",
    "llm.user",
)
VARIANT = (
    "vedette.variant",
    "variant",
    "feature_flag.result.variant",
    "feature_flag.variant",
)
OWN_SHADOW = ("vedette.shadow", "http.request.header.x-vedette-shadow")
ENVIRONMENT = "deployment.environment.name"
INVOCATION = "llm.invocation_parameters"

# Texts: whole messages, else flattened ones (PREFIX.N[.message].role and so on), else older wholes.
PROMPT = ("gen_ai.input.messages",)
OLD_PROMPT = ("gen_ai.prompt", "llm.prompts", "input.value")
ANSWER = ("gen_ai.output.messages",)
OLD_ANSWER = ("gen_ai.completion", "llm.completions", "output.value")
PROMPT_ROWS = ("llm.input_messages.", "gen_ai.prompt.", "llm.prompts.")
ANSWER_ROWS = ("llm.output_messages.", "gen_ai.completion.", "llm.completions.", "llm.choices.")

CHAT = {"chat", "text_completion", "generate_content", "completion"}
_ROW = re.compile(
    r"(\d{1,4})\.(?:message\.|prompt\.|completion\.)?"
    r"(role|content|text|finish_reason|tool_calls\..+|contents\.(\d{1,4})\..+\.text)",
    re.ASCII,
)


def first(attributes: Attributes, names: tuple[str, ...]) -> Any:
    """The value under the first of the names that has one."""
    for each in names:
        value = attributes.get(each)
        if value is not None and value != "":
            return value
    return None


def word(attributes: Attributes, names: tuple[str, ...], reading: Reading) -> str | None:
    """The same as a short word; a list gives its first."""
    value = first(attributes, names)
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, (int, float)):
        value = str(value)
    if isinstance(value, str) and value.startswith("["):
        parsed = parsed_or_text(value)
        value = parsed[0] if isinstance(parsed, list) and parsed else value
    return fields.name(value, reading) if isinstance(value, str) else None


def kind_of(attributes: Attributes, scope: str) -> str | None:
    """What a span or event is about: "chat", "other" or, when no model is in it, None."""
    operation = first(attributes, ("gen_ai.operation.name", "llm.request.type"))
    if isinstance(operation, str):
        return "chat" if operation.lower() in CHAT else "other"
    kind = attributes.get("openinference.span.kind")
    if isinstance(kind, str):
        return "chat" if kind.upper() == "LLM" else "other"
    # vLLM and the emitters before 1.26 name no operation.
    spends = first(attributes, MODEL) or first(attributes, TOKENS_OUT) is not None
    if spends and (
        scope.startswith("vllm") or any(key.startswith("gen_ai.") for key in attributes)
    ):
        return "chat"
    return None


def model_of(attributes: Attributes, reading: Reading) -> str | None:
    """The model that was asked for; a failed OpenInference span has it only in its request."""
    model = word(attributes, MODEL, reading)
    if model is not None:
        return model
    for key in (INVOCATION, "input.value"):
        request = parsed_or_text(attributes.get(key))
        if isinstance(request, dict) and isinstance(request.get("model"), str):
            return fields.name(request["model"], reading)
    return None


def ttft_of(span: Span, reading: Reading) -> float | None:
    """Seconds to the first token, as an attribute or from the first chunk's event."""
    value = first(span.attributes, TTFT)
    if value is not None:
        return fields.number(value, reading)
    times = [event.time_ns for event in span.events if event.name in FIRST_TOKEN_EVENTS]
    return max(min(times) - span.start_ns, 0) / 1e9 if times else None


def error_of(span: Span) -> str | None:
    """The type of the error of a failed span: never its message, never its traceback."""
    kind = span.attributes.get("error.type")
    if not isinstance(kind, str) or not kind:
        if span.status != STATUS_ERROR:
            return None
        types = [e.attributes.get("exception.type") for e in span.events if e.name == "exception"]
        kind = next((each for each in types if isinstance(each, str) and each), "error")
    return kind


def is_timeout(error: str) -> bool:
    """Whether an error type, or a status in its place, is a time-out."""
    low = error.lower()
    return "timeout" in low or "deadline" in low or low in ("408", "504")


def content_of(attributes: Attributes, reading: Reading) -> dict[str, Any]:
    """Prompt, messages, response and finish as far as the attributes have them.

    Empty when they hold no content at all: the texts are elsewhere, or were not captured.
    """
    found: dict[str, Any] = {}
    asked = _texts(attributes, PROMPT, PROMPT_ROWS, OLD_PROMPT)
    system = parsed_or_text(attributes.get("gen_ai.system_instructions"))
    if asked is not None:
        if system is not None and isinstance(asked, list):
            asked = [{"role": "system", "content": system}, *asked]
        found["prompt"], found["messages"] = messages.conversation(asked, reading)
    said = _texts(attributes, ANSWER, ANSWER_ROWS, OLD_ANSWER)
    if said is not None:
        found["response"], finish = messages.answer(said, reading)
        if finish:
            found["finish"] = finish
    return found


def parsed_or_text(value: Any) -> Any:
    """A value that may be JSON in a string, as on span attributes; else as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return documents.load(value)[0]
        except BadRecord:
            return value
    return value


def _texts(
    attributes: Attributes, new: tuple[str, ...], rows: tuple[str, ...], old: tuple[str, ...]
) -> Any:
    found = parsed_or_text(first(attributes, new))
    if found is None:
        found = _rows(attributes, rows) or parsed_or_text(first(attributes, old))
    return found


def _rows(attributes: Attributes, prefixes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Flattened messages put back together, in the order of their numbers."""
    if not any(key.startswith(prefixes) for key in attributes):
        return []
    for prefix in prefixes:
        rows: dict[int, dict[str, Any]] = {}
        parts: dict[int, dict[int, Any]] = {}
        for key, value in attributes.items():
            match = _ROW.fullmatch(key, len(prefix)) if key.startswith(prefix) else None
            if match:
                row = rows.setdefault(int(match[1]), {})
                if match[3]:
                    parts.setdefault(int(match[1]), {})[int(match[3])] = value
                else:
                    row[match[2].partition(".")[0]] = value
        for number, texts in parts.items():
            rows[number]["content"] = [texts[each] for each in sorted(texts)]
        if rows:
            return [rows[number] for number in sorted(rows)]
    return []
