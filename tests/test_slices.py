"""Segments of a guardrail: worse is worse by more than its margin, as of the guardrail itself."""

import numpy as np
import pytest

from abtest.pages.rows import margins_of
from agent.store import Store
from tests.experiments import line, read, split, told, travel


@pytest.mark.parametrize(("margin", "verdict"), [(0.3, "not yet"), (0.02, "worse")])
def test_a_segment_of_a_guardrail_is_worse_beyond_the_margin_alone(
    store: Store, rng: np.random.Generator, margin: float, verdict: str
) -> None:
    config = told(guardrails={"slo_fast": margin})
    slow = [one | {"segment": {"tenant": "big"}}
            | ({"latency_s": 3.0} if one["variant"] == "canary" and at % 6 == 0 else {})
            for at, one in enumerate(split(rng, 2400, 0.0))]  # fmt: skip
    travel(store, config, slow)
    lines = read(store, config)
    one = line(lines, "slo_fast", role="slice", segment="tenant=big")
    assert one.lower > 0, "the difference itself is sure"
    assert one.verdict == verdict
    assert line(lines, "slo_fast", role="guardrail").verdict in ("worse", "not worse by more than"
                                                                 " the margin")  # fmt: skip
    assert margins_of(one, config.experiments["x"]) == (margin,)
