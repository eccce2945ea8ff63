"""The pages on how to connect: what they show is accepted, and their code does what they say."""

import asyncio
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from agent.config import load_config
from agent.record import Call
from consumers.formats import parse
from tests.test_judge_docs import block, keys
from tests.test_litellm import payload


def test_the_callback_sends_what_the_proxy_hands_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By keyword, as LiteLLM does: positions hid that it was never called."""
    sent: list[tuple[str, bytes, bytes]] = []
    base: Any = ModuleType("litellm.integrations.custom_logger")
    base.CustomLogger = object
    client: Any = ModuleType("confluent_kafka")
    client.Producer = lambda _: SimpleNamespace(
        produce=lambda topic, value, key: sent.append((topic, value, key)), poll=lambda _: 0
    )
    for module in (base, client, ModuleType("litellm"), ModuleType("litellm.integrations")):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    names: dict[str, Any] = {}
    exec(compile(block("connect/litellm.md", "import json"), "litellm.md", "exec"), names)
    told: dict[str, Any] = {"kwargs": {"standard_logging_object": payload()}}
    told |= dict.fromkeys(("response_obj", "start_time", "end_time"))
    asyncio.run(names["logger"].async_log_success_event(**told))
    asyncio.run(names["logger"].async_log_failure_event(**told))
    assert [(topic, key) for topic, _, key in sent] == [("llm-calls", b"call-1")] * 2
    (call,) = parse(sent[0][1], "auto", load_config(), 4e9)
    assert isinstance(call, Call)


@pytest.mark.parametrize(("page", "topics"), [("litellm.md", {"llm-calls": "litellm"})])
def test_the_configuration_of_a_page_is_one(page: str, topics: dict[str, str]) -> None:
    told = load_config(**keys(f"connect/{page}", "kafka:"))
    assert {name: topic.format for name, topic in told.kafka.topics.items()} == topics
