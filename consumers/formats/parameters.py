"""What a request asked for besides its messages: sampling parameters and tools.

Kept are those of the chat completions interface that decide what an answer can be; names of
users, metadata, headers and the like are left out. What a candidate could not be given flags the
call: "tools_dropped" where tools run at the provider or are not known, "parameters_dropped" where
there is too much.
"""

import math
from collections.abc import Mapping
from typing import Any

import orjson

from consumers.formats.fields import Reading

_KEPT = (
    "frequency_penalty", "function_call", "functions", "logit_bias", "max_completion_tokens",
    "max_tokens", "min_p", "parallel_tool_calls", "presence_penalty", "reasoning_effort",
    "repetition_penalty", "response_format", "seed", "stop", "temperature", "tool_choice", "tools",
    "top_k", "top_p", "verbosity",
)  # fmt: skip
_OLD = {"max_output_tokens": "max_tokens", "stop_sequences": "stop"}
# Part of the question is held by the provider, or stands beside the messages.
_ELSEWHERE = (
    "conversation", "container", "instructions", "mcp_servers", "previous_response_id", "system",
    "system_instruction", "web_search_options",
)  # fmt: skip
BYTES = 32_768


def parameters(value: Any, reading: Reading) -> tuple[tuple[str, Any], ...]:
    """The parameters of a request as (name, JSON value), in alphabetical order of the names."""
    if type(value) is not dict:
        reading.note("parameters_dropped")
        return ()
    if any(value.get(key) for key in _ELSEWHERE) or not _are_functions(value.get("tools")):
        reading.note("tools_dropped")
    for old, name in _OLD.items():
        if value.get(old) is not None:
            value = {name: value[old], **value}
    found = tuple((name, value[name]) for name in _KEPT if value.get(name) is not None)
    if found and _size(found) > BYTES:
        reading.note("parameters_dropped")
        return ()
    return found


def _size(found: Any) -> float:
    try:
        return len(orjson.dumps(found))
    except TypeError:  # nested too deeply, or an attribute of bytes
        return math.inf


def of_span(attributes: Mapping[str, Any], asked: Any, reading: Reading) -> Any:
    """The same from `gen_ai.request.*` attributes, or from the request that a span has whole."""
    start = "gen_ai.request."
    told = {key[len(start) :]: each for key, each in attributes.items() if key.startswith(start)}
    # Definitions of tools are large and left unread: that there are some is all that is known.
    if any(key.startswith(("gen_ai.tool.definitions", "llm.tools.")) for key in attributes):
        reading.note("tools_dropped")
    return parameters({**asked, **told} if isinstance(asked, dict) else told, reading)


def _are_functions(tools: Any) -> bool:
    """Whether all tools are the caller's own, and described as a chat completion takes them."""
    if not tools:
        return True
    return isinstance(tools, list) and all(
        isinstance(tool, dict) and tool.get("type") == "function" and "function" in tool
        for tool in tools
    )
