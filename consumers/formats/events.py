"""Texts in log events and in span events: one event for all of it, or one for each message."""

from collections.abc import Iterable
from typing import Any

from consumers.formats import genai, messages
from consumers.formats.fields import Reading
from consumers.formats.telemetry import Attributes, LogEvent, Span

WHOLE = "gen_ai.client.inference.operation.details"
CHOICE = "gen_ai.choice"
# The events of up to 1.36, one a message.
ROLES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
# Older still: two span events with the texts as attributes.
_CONTENTS = ("gen_ai.content.prompt", "gen_ai.content.completion")


def is_ours(log: LogEvent) -> bool:
    """Whether a log record holds texts of a call."""
    return log.name == WHOLE or log.name == CHOICE or log.name in ROLES


def content_of_logs(logs: Iterable[LogEvent], reading: Reading) -> dict[str, Any]:
    """Prompt, messages, response and finish from the log events of one span, in time order."""
    return _content([(log.name, log.attributes, log.body) for log in logs], reading)


def content_of(span: Span, reading: Reading) -> dict[str, Any]:
    """The same from the span's own events; empty when they hold no content."""
    ordered = sorted(span.events, key=lambda event: event.time_ns)
    return _content([(event.name, event.attributes, None) for event in ordered], reading)


def _content(rows: list[tuple[str, Attributes, Any]], reading: Reading) -> dict[str, Any]:
    turns: list[dict[str, Any]] = []
    choices: list[dict[str, Any]] = []
    found: dict[str, Any] = {}
    for name, attributes, body in rows:
        if name == WHOLE or name in _CONTENTS:
            found.update(genai.content_of(attributes, reading))
        elif name in ROLES:
            turns.append({"role": ROLES[name], **_body(attributes, body)})
        elif name == CHOICE:
            choices.append(_body(attributes, body))
    if turns:
        found["prompt"], found["messages"] = messages.conversation(turns, reading)
    if choices:
        choices.sort(key=_index)
        found["response"], found["finish"] = messages.answer(choices, reading)
    return found


def _body(attributes: Attributes, body: Any) -> dict[str, Any]:
    """An event's body; emitters that had no body put the same keys into attributes."""
    if isinstance(body, dict):
        return body
    if isinstance(body, str):
        parsed = genai.parsed_or_text(body)
        return parsed if isinstance(parsed, dict) else {"content": body}
    return {key: genai.parsed_or_text(value) for key, value in attributes.items()}


def _index(choice: dict[str, Any]) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0
