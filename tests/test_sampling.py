"""Which calls a scorer with a rate reads: always the same ones, and all that a lower rate reads."""

import hashlib

import numpy as np
import pytest

from agent.config import load_config
from agent.record import Call
from agent.score import Panel, load_panel
from agent.scoring import Options, load

RATES = {"repetition": 0.2, "readability": 0.5, "secrets": 0.5, "refusal": 1.0, "json_valid": 0.0}
METRICS = {name: f"response_{name}" for name in RATES}
CALLS = [
    Call(f"call-{at}", float(at), "m", prompt="Which?", response="The same for all.")
    for at in range(1_000)
]


@pytest.fixture
def panel() -> Panel:
    """A configured one; what it does not read by a model is cheap."""
    scorers = {name: {"rate": rate} for name, rate in RATES.items()}
    return load_panel(load_config(models=False, scorers=scorers))


def read(panel: Panel, calls: list[Call]) -> dict[str, set[str]]:
    """The original calls that each scorer reads."""
    rows = panel.score(calls)
    return {
        name: {call.pair or call.id for call, one in zip(calls, rows[metric], strict=True)
               if one.why != "sampled_out"}
        for name, metric in METRICS.items()
    }  # fmt: skip


def test_a_lower_rate_reads_a_part_of_what_a_higher_one_reads(panel: Panel) -> None:
    found = read(panel, CALLS)
    assert found["json_valid"] == set() and len(found["refusal"]) == len(CALLS)
    assert found["repetition"] < found["readability"] == found["secrets"]
    for name, rate in RATES.items():
        spread = 4 * np.sqrt(rate * (1 - rate) * len(CALLS))
        assert len(found[name]) == pytest.approx(rate * len(CALLS), abs=spread)


def test_the_same_calls_are_read_in_any_order_and_company(
    panel: Panel, rng: np.random.Generator
) -> None:
    found = read(panel, CALLS)
    turned = [CALLS[at] for at in rng.permutation(len(CALLS))]
    assert read(panel, turned) == found
    again = Panel([(load(name, Options(models=False)), rate) for name, rate in RATES.items()])
    alone = [read(again, [call]) for call in CALLS[:100]]
    first = {call.id for call in CALLS[:100]}
    for name, mine in found.items():
        assert set().union(*(one[name] for one in alone)) == mine & first


def test_a_shadow_is_read_where_its_call_is_whatever_its_own_name(panel: Panel) -> None:
    shadows = [
        Call(f"shadow {at} of {call.id}", call.at + 9, "next", variant="next", pair=call.id,
             response="Another answer, by another model.")
        for at, call in enumerate(CALLS)
    ]  # fmt: skip
    assert read(panel, shadows) == read(panel, CALLS)


def test_what_is_read_is_told_by_the_id_alone_in_every_process(panel: Panel) -> None:
    def share(call: Call) -> float:
        made = hashlib.blake2b(call.id.encode(), digest_size=16).digest()
        return int.from_bytes(made[:8], "little") / 2**64

    found = read(panel, CALLS)
    for name, rate in RATES.items():
        assert found[name] == {call.id for call in CALLS if share(call) < rate}
