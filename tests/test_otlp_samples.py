"""The captured OTLP batches, where they are at hand: every emitter gives the same six calls."""

from pathlib import Path

import pytest

from agent.config import Config
from agent.halves import join
from agent.record import Call, Filtered, Half, Item
from consumers.formats import parse

SAMPLES = Path(__file__).parents[2] / "shared" / "samples" / "otel"


def _sample(mode: str, name: str) -> list[Item]:
    found = []
    for kind in ("pb", "json"):
        path = SAMPLES / mode / f"{name}.{kind}"
        if not path.exists():
            pytest.skip("the captured batches lie beside the repository, in shared/samples")
        found.append(parse(path.read_bytes(), "auto", Config(), 1_795_470_000.0))
    assert found[0] == found[1]
    assert "raceback" not in repr(found)
    return found[0]


@pytest.mark.parametrize("mode", ["v2_legacy", "genai_span", "genai_event", "openinference"])
def test_the_captured_batches(mode: str) -> None:
    *items, embedding = _sample(mode, "traces")
    assert embedding == Filtered("not_chat")
    sides = {}
    if mode in ("v2_legacy", "genai_event"):
        sides = {half.key: half for half in _sample(mode, "logs") if isinstance(half, Half)}
        assert len(sides) == 6
    whole = [join(i, sides[i.key]) if isinstance(i, Half) else i for i in items]
    calls = [call for call in whole if isinstance(call, Call)]
    texts = [(c.prompt, c.response and c.response[:4], c.status) for c in calls]
    assert texts == [
        ("How do I reset my password?", "Open", "ok"), ("stream please", "Open", "ok"),
        ("Weather in Paris? __tool__", None, "ok"), ("Weather?", "Open", "ok"),
        ("__fail_503__", None, "error"), ("__length__ long answer", "Open", "ok"),
    ]  # fmt: skip
    streamed = calls[1]
    assert (streamed.tokens_in, streamed.tokens_out) == (14, 10)
    assert (streamed.ttft_s is None) == (mode == "v2_legacy")
    assert {c.service for c in calls} == {"support-bot"}


@pytest.mark.parametrize("mode", ["v2_legacy", "genai_span", "genai_event"])
def test_the_captured_metrics_are_none_of_ours(mode: str) -> None:
    assert _sample(mode, "metrics") == [Filtered("metrics")]
