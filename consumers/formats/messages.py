"""Conversations and answers in the shapes of the field, down to texts.

OpenAI chat and Responses, Anthropic messages, Google generate_content and the OpenTelemetry GenAI
messages. A part that is no text (an image, a tool call) is left out and the call is flagged:
"parts_dropped" in a prompt (a candidate would not be asked the same question), "tool_call" or
"answer_parts_dropped" in an answer. What a redactor or a cap took from the prompt is flagged
"prompt_redacted" or "prompt_truncated" besides: whom to ask is decided by the prompt alone.
"""

from collections.abc import Iterator
from typing import Any

from agent.record import Message
from consumers.formats import fields
from consumers.formats.fields import Reading

# A conversation longer than this keeps its newest turns.
TURNS = 1000
PARTS = 1000

# part type -> the keys that may hold its text
_TEXT_KEYS = {
    "text": ("text", "content"),
    "input_text": ("text",),
    "output_text": ("text",),
    "refusal": ("refusal",),
    "tool_result": ("content",),
    "tool_call_response": ("response", "result"),
    "function_call_output": ("output",),
}
# Thinking is no part of the answer that the user saw, and dropping it changes no question.
_SILENT = {"reasoning", "thinking", "redacted_thinking"}
_TOOL_CALLS = ("tool_call", "tool_use", "function_call", "server_tool_call", "server_tool_use")
_ANSWER = "answer_parts_dropped"
_ROLES = {"human": "user", "model": "assistant", "ai": "assistant"}


def conversation(value: Any, reading: Reading) -> tuple[str | None, tuple[Message, ...]]:
    """The user's last text and all turns, from a text, a list of turns or one turn."""
    before, reading.flags = reading.flags, ()
    found = _conversation(value, reading)
    if before or reading.flags:
        reading.asked(before)
    return found


def _conversation(value: Any, reading: Reading) -> tuple[str | None, tuple[Message, ...]]:
    if isinstance(value, str):
        return fields.text(value, reading), ()
    if isinstance(value, dict):
        keys = ("messages", "input", "prompt", "contents")
        value = next((value[key] for key in keys if value.get(key)), [value])
        if isinstance(value, str):
            return fields.text(value, reading), ()
    if not isinstance(value, list):
        return None, ()
    if len(value) > TURNS:
        reading.note("truncated")
    turns = tuple(_turns(value[-TURNS:], reading))
    return last_user_text(turns), turns


def last_user_text(turns: tuple[Message, ...]) -> str | None:
    """What the user wrote last; None when nothing was."""
    for turn in reversed(turns):
        if turn.role == "user":
            return turn.content or None
    return None


def words(content: Any, reading: Reading, flag: str = "parts_dropped") -> str | None:
    """The text of a content that is a text or a list of parts; None when there is none."""
    if isinstance(content, str):
        return fields.text(content, reading)
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return None
    if len(content) > PARTS:
        reading.note("truncated")
    texts = [_part(part, reading, flag) for part in content[:PARTS]]
    found = [each for each in texts if each is not None]
    return fields.text("\n".join(found), reading) if found else None


def answer(value: Any, reading: Reading) -> tuple[str | None, str | None]:
    """The text and the finish reason of a response body or of a list of output messages."""
    if isinstance(value, str):
        return fields.text(value, reading), None
    if isinstance(value, list):
        return _first_choice(value, reading)
    if not isinstance(value, dict):
        return None, None
    for key in ("choices", "candidates"):
        if isinstance(value.get(key), list):
            return _first_choice(value[key], reading)
    if isinstance(value.get("output"), list):
        return _responses_answer(value, reading)
    return _first_choice([value], reading)


def finish_of(value: dict[str, Any], reading: Reading) -> str | None:
    """Why the model stopped, under any of its names."""
    for key in ("finish_reason", "finishReason", "stop_reason"):
        if isinstance(value.get(key), str):
            return fields.name(value[key], reading)
    return None


def _turns(rows: list[Any], reading: Reading) -> Iterator[Message]:
    for row in rows:
        if isinstance(row, str):
            yield Message("user", fields.text(row, reading) or "")
        elif isinstance(row, dict):
            yield Message(_role(row, reading), _said(row, reading) or "")
        else:
            reading.note("parts_dropped")


def _role(row: dict[str, Any], reading: Reading) -> str:
    role = row.get("role")
    if not isinstance(role, str):
        # The Responses API leaves the role out of tool results.
        return "tool" if row.get("type") == "function_call_output" else "user"
    role = role.lower()
    return _ROLES.get(role) or fields.name(role, reading) or "user"


def _said(row: dict[str, Any], reading: Reading) -> str | None:
    if row.get("tool_calls") or row.get("function_call"):
        reading.note("parts_dropped")
    return words(_content(row), reading)


def _content(row: dict[str, Any]) -> Any:
    for key in ("content", "parts", "text", "output"):
        content = row.get(key)
        if isinstance(content, dict) and "parts" in content:
            content = content["parts"]
        if content is not None:
            return content
    return None


def _part(part: Any, reading: Reading, flag: str) -> str | None:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        reading.note(flag)
        return None
    for key in _TEXT_KEYS.get(kind, ()):
        if isinstance(part.get(key), str):
            return str(part[key])
    if kind not in _SILENT:
        reading.note("tool_call" if kind in _TOOL_CALLS and flag != "parts_dropped" else flag)
    return None


def _first_choice(rows: list[Any], reading: Reading) -> tuple[str | None, str | None]:
    finish = None
    for row in rows[:PARTS]:
        if isinstance(row, str):
            return fields.text(row, reading), finish
        if not isinstance(row, dict):
            continue
        message = row.get("message") or row.get("delta")
        message = message if isinstance(message, dict) else row
        finish = finish or finish_of(row, reading) or finish_of(message, reading)
        calls = message.get("tool_calls") or message.get("function_call")
        if calls:
            reading.note("tool_call")
        said = words(_content(message), reading, _ANSWER)
        if said or (said == "" and not calls):
            return said, finish
    return None, finish


def _responses_answer(value: dict[str, Any], reading: Reading) -> tuple[str | None, str | None]:
    rows = [row for row in value["output"][:PARTS] if isinstance(row, dict)]
    if any(row.get("type") in _TOOL_CALLS for row in rows):
        reading.note("tool_call")
    said = [
        words(row.get("content"), reading, _ANSWER)
        for row in rows
        if row.get("type", "message") == "message"
    ]
    found = [each for each in said if each is not None]
    details = value.get("incomplete_details")
    why = details.get("reason") if isinstance(details, dict) else value.get("status")
    finish = fields.name(why, reading) if isinstance(why, str) else None
    return "\n".join(found) if found else None, finish
