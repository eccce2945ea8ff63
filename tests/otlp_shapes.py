"""OTLP documents to parse, made by hand."""

from typing import Any

import orjson

from agent.config import Config
from agent.record import Call, Half, Item
from consumers.formats import parse
from tests.telemetry import (
    AT,
    KEY,
    protobuf,
    span,
    traces,
)  # fmt: skip

CONFIG = Config()


def read(document: dict[str, Any], config: Config = CONFIG) -> list[Item]:
    items = parse(orjson.dumps(document), "auto", config, AT + 10.0)
    assert parse(protobuf(document), "auto", config, AT + 10.0) == items
    return items


def call_of(attributes: dict[str, Any], config: Config = CONFIG, **more: Any) -> Call:
    (item,) = read(traces(span(attributes, **more)), config)
    assert isinstance(item, Call), item
    return item


def half_of(attributes: dict[str, Any], *, scope: str = "x", **more: Any) -> Call:
    (item,) = read(traces(span(attributes, **more), scope=scope))
    assert isinstance(item, Half) and item.side == "span" and item.key == KEY, item
    return item.call
