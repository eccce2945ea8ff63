"""Which calls candidates are asked: by the prompt alone, within caps, one a unit and day."""

import re
import textwrap
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from agent.asking import REASONS, share_for
from agent.config import load_config
from agent.errors import BadConfig
from agent.store import Store, open_store, retention
from agent.store.ticket_tables import TICKET_STATES, quotas
from tests.road import InboxRoad, as_bytes, native
from tests.shadowing import asking, at_once, flushed, rows, send, states

DAY_S = 86_400


def drawn(rate: float, candidate: str = "new", n: int = 20_000) -> set[int]:
    return {at for at in range(n) if share_for(candidate, f"call-{at}") < rate}


def test_a_lower_rate_asks_a_part_of_the_same_calls() -> None:
    few, many, others = drawn(0.05), drawn(0.2), drawn(0.2, "other")
    assert few < many
    for found, rate in ((few, 0.05), (many, 0.2), (others, 0.2)):
        assert len(found) == pytest.approx(rate * 20_000, abs=4 * np.sqrt(rate * 20_000))
    # Candidates draw for themselves.
    assert len(many & others) == pytest.approx(0.04 * 20_000, abs=4 * np.sqrt(800))


def test_a_flush_owes_what_it_draws_and_says_what_to_ask(any_store: Store) -> None:
    config = asking(rate=0.3)
    road = flushed(any_store, config, [native(n) for n in range(60)])
    expected = sorted(drawn(0.3, n=60))
    assert [ask.call.id for ask in road.listener.asks] == [f"call-{n}" for n in expected]
    assert [row.key for row in rows(any_store)] == [ask.ticket for ask in road.listener.asks]
    first, row = road.listener.asks[0], rows(any_store)[0]
    assert (first.candidate, first.call.prompt) == ("new", f"Question {expected[0]}?")
    assert (row.state, row.pair, row.service, row.model) == ("owed", first.call.id, "support", "b")
    assert (row.common, row.counts_in, row.source) == (1, '[""]', "live")
    assert row.expires_at == row.stored_at + 600.0
    assert not road.listener.skipped


def test_what_was_answered_is_never_looked_at(store: Store, sqlite_url: str, rng: Any) -> None:
    config = asking(rate=0.5, most_per_hour={"tenant": 12})
    asked = []
    for turn, url in enumerate((None, f"{sqlite_url}-2")):
        other = open_store(url) if url else store
        records = []
        for n in range(80):
            said: dict[str, Any] = {"segment": {"tenant": "ab"[n % 2]}, "unit": f"u-{n % 37}"}
            if turn:
                said |= {
                    "response": ["", None, "ann@example.org", "redacted", "x" * 300_000][n % 5],
                    "status": ["ok", "error", "timeout"][n % 3],
                    "latency_s": float(rng.uniform(0, 30)),
                    "tokens_out": int(rng.integers(1, 5000)),
                    "finish": "length",
                    "feedback": -1.0,
                }
            records.append(native(n, **said))
        road = flushed(other, config, records)
        asked.append((sorted(a.ticket for a in road.listener.asks), road.listener.skipped))
    other.close()
    assert asked[0] == asked[1] and len(asked[0][0]) == 24


UNASKABLE = [
    ("redacted", {"prompt": "REDACTED"}),
    ("truncated", {"prompt": "x" * 200_001}),
    ("parts", {"prompt": [{"role": "user", "content": [{"type": "image_url"}, "What?"]}]}),
    ("tools", {"parameters": {"tools": [{"type": "web_search"}]}}),
    ("tools", {"parameters": {"tools": [{"type": "function", "function": {"name": "f"}}]}}),
    ("tools", {"prompt": [{"role": "tool", "content": "18 C"}, {"role": "user", "content": "?"}]}),
    ("parameters", {"parameters": {"stop": ["x" * 40_000]}}),
    ("no_prompt", {"prompt": None}),
    ("no_prompt", {"prompt": ""}),
    ("personal_data", {"prompt": "Write to ann@example.org."}),
    ("personal_data", {"prompt": [{"role": "system", "content": "Ann is at ann@example.org"},
                                  {"role": "user", "content": "Where?"}]}),
    ("personal_data", {"parameters": {"stop": ["ann@example.org"]}}),
    ("shadow", {"variant": "shadow:mirror", "pair": "call-9"}),
    ("dataset", {"origin": "dataset"}),
    ("late", {"latency_s": 90.0}),
]  # fmt: skip


@pytest.mark.parametrize(("why", "changes"), UNASKABLE)
def test_what_cannot_be_asked_again_is_counted(
    store: Store, why: str, changes: dict[str, Any]
) -> None:
    road = flushed(store, asking(), [native(1, **changes), native(2)])
    assert [ask.call.id for ask in road.listener.asks] == ["call-2"]
    assert road.listener.skipped == {("new", why): 1}
    assert len(rows(store)) == 1
    assert why in REASONS


def test_who_is_trusted_is_asked_about_people_too(store: Store) -> None:
    road = flushed(store, asking(trusted=True), [native(1, prompt="Write to ann@example.org.")])
    assert road.listener.asks[0].call.prompt == "Write to ann@example.org."


def test_only_the_services_that_are_named(store: Store) -> None:
    road = flushed(store, asking(services=["billing"]), [native(1), native(2, service="billing")])
    assert [ask.call.id for ask in road.listener.asks] == ["call-2"]
    assert not road.listener.skipped


def test_a_stratum_is_always_asked_and_counts_in_its_own_row(any_store: Store) -> None:
    config = asking(rate=0.3, always=["tenant=acme"])
    segment = {"tenant": "acme", "language": "de", "undeclared": "x"}
    records = [native(n, segment=segment if n % 2 else {"tenant": "globex"}) for n in range(60)]
    road = flushed(any_store, config, records)
    asked, by_rate = {int(a.call.id[5:]) for a in road.listener.asks}, drawn(0.3, n=60)
    assert asked == by_rate | set(range(1, 60, 2))
    for row in rows(any_store):
        n = int(row.pair[5:])
        assert row.common == (n in by_rate)
        expected = ['["", "tenant=globex"]'] if not n % 2 else [
            '["", "language=de", "tenant=acme"]' if n in by_rate else '["tenant=acme"]'
        ]  # fmt: skip
        assert row.counts_in == expected[0]


def test_one_a_unit_and_day_and_no_sample_takes_from_the_other(any_store: Store) -> None:
    """A unit's first call of a stratum must not keep its later one out of the rate's sample."""
    config = asking(rate=0.3, always=["tenant=acme"])
    told = {"unit": "ann", "segment": {"tenant": "acme"}}
    first = next(n for n in range(60) if n not in drawn(0.3, n=60))
    late = min(n for n in drawn(0.3, n=60) if n > first)
    road = flushed(any_store, config, [native(n, **told) for n in range(first, 30)])
    assert [(r.pair, r.counts_in) for r in rows(any_store)] == [
        (f"call-{first}", '["tenant=acme"]'), (f"call-{late}", '[""]'),
    ]  # fmt: skip
    assert road.listener.skipped == {("new", "repeated_unit"): 30 - first - 2}
    at = 1_767_225_600
    tomorrow = [native(n, **told) | {"at": at + DAY_S + n, "id": f"t-{n}"} for n in range(9)]
    again = flushed(any_store, config, tomorrow)  # its panes are closed: nothing can be paired
    assert {why for _, why in again.listener.skipped} == {"late"}
    pure = asking(more={"inbox": {"source": "backfill"}})
    days = [native(1, id=f"b-{n}", unit="bob", at=at + n * DAY_S) for n in (1, 2, 2.4)]
    road = flushed(any_store, pure, days)
    assert [ask.call.id for ask in road.listener.asks] == ["b-1", "b-2"]


def test_a_cap_holds_by_value_and_hour_over_flushes(any_store: Store) -> None:
    config = asking(more={"inbox": {"source": "backfill"}}, most_per_hour={"tenant": 5})
    records = [native(n * 100, segment={"tenant": "ab"[n % 2]}, unit=f"u-{n // 4}-{n % 2}")
               for n in range(72)]  # fmt: skip
    road = flushed(any_store, config, records[:30])
    send(road, records[30:])
    asked = Counter(
        (ask.call.at // 3600, dict(ask.call.segment)["tenant"]) for ask in road.listener.asks
    )
    assert list(asked.values()) == [5] * 4
    # The second call of a unit takes nothing from the cap; the fifth unit fills it.
    assert road.listener.skipped == {("new", "repeated_unit"): 16, ("new", "capped"): 36}
    with any_store.transaction() as tx:
        assert tx.scalar(select(func.sum(quotas.c.calls))) == 20


def test_a_flush_that_rolls_back_owes_nothing_and_comes_again_alike(any_store: Store) -> None:
    broken = ["commit"]

    def fault(step: str) -> None:
        if step in broken:
            broken.clear()
            raise RuntimeError("killed")

    config = asking(rate=0.5, most_per_hour={"tenant": 7})
    records = [native(n, unit=f"u-{n}", segment={"tenant": "a"}) for n in range(40)]
    road = InboxRoad(any_store, config, on_step=fault)
    road.inbox.append(as_bytes(records))
    with pytest.raises(RuntimeError):
        road.drain()
    assert not rows(any_store) and not road.listener.asks
    again = InboxRoad(any_store, config)
    again.drain()
    assert len(again.listener.asks) == len(rows(any_store)) == 7
    assert {row.key for row in rows(any_store)} == {ask.ticket for ask in again.listener.asks}


def test_a_call_that_comes_back_after_its_days_is_not_asked_again(any_store: Store) -> None:
    config = asking(more={"inbox": {"source": "backfill"}, "store": {"calls_days": 400}})
    road = flushed(any_store, config, [native(1)])
    with any_store.transaction() as tx:
        retention.prune(tx, config, time.time() + 8 * DAY_S)
    send(road, [native(1), native(2)])
    assert [ask.call.id for ask in road.listener.asks] == ["call-1", "call-2"]
    assert states(any_store) == ["owed", "owed"]


@pytest.mark.parametrize("cap", [None, 6])
def test_workers_that_flush_at_once_keep_cap_and_unit(postgres_url: str, cap: int | None) -> None:
    """Units of which both workers have calls enter once, and no cap is passed by both together."""
    most = {} if cap is None else {"tenant": cap}
    history = {"inbox": {"source": "backfill"}}
    config, store = asking(more=history, most_per_hour=most), open_store(postgres_url)
    if cap is not None:  # the row that both read is there
        flushed(store, config, [native(99, segment={"tenant": "a"})])
    sides = [
        [native(10 * worker + n, unit=f"u-{n + 5 * worker * bool(cap)}", segment={"tenant": "a"})
         for n in range(5)]
        for worker in range(2)
    ]  # fmt: skip
    asked = [ask for done in at_once(postgres_url, config, sides) for ask in done.asks]
    assert len(asked) == 5 and len({ask.call.unit for ask in asked}) == 5
    with store.transaction() as tx:
        assert tx.scalar(select(func.sum(quotas.c.calls))) == cap
    store.close()


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"requests": "llm-calls"}, "shadow.requests"),
        ({"answers": "vedette-shadow-requests"}, "shadow.requests"),
        ({"answers": "letters"}, "shadow"),
        ({"requests": "letters"}, "shadow"),
        ({"wait_s": 60.0}, "shadow.wait_s"),
        ({"always": ["plan=gold"]}, "shadow.candidates.new"),
        ({"most_per_hour": {"plan": 1}}, "shadow.candidates.new"),
    ],
)
def test_what_does_not_go_together_is_refused(more: dict[str, Any], key: str) -> None:
    candidate = {"url": "https://llm.example/v1", "model": "b", "budget": {"calls": 1}}
    shadow: dict[str, Any] = {"candidates": {"new": candidate}}
    for name, value in more.items():
        (candidate if name in ("always", "most_per_hour") else shadow)[name] = value
    with pytest.raises(BadConfig) as caught:
        load_config(shadow=shadow, segments=("tenant",), kafka={"dead_letters": "letters"})
    assert caught.value.key == key


def test_answers_must_be_taken_in() -> None:
    """They expire as failures of the candidate otherwise."""
    with pytest.raises(BadConfig) as caught:
        asking(more={"intake": {"models": ("a",)}})
    assert caught.value.key == "intake.models"
    asking(more={"intake": {"models": ("a", "b")}})
    for model in ("", "b\n", "b" * 129):
        with pytest.raises(BadConfig) as caught:
            asking(model=model)
        assert caught.value.key == "shadow.candidates.new.model"


def test_answers_are_read_without_being_named_as_a_source_of_their_own() -> None:
    topics = asking().kafka.topics
    assert list(topics) == ["llm-calls", "vedette-shadow-answers"]
    assert topics["vedette-shadow-answers"].source == "shadow"
    own = {"topics": {"llm-calls": {}, "vedette-shadow-answers": {"source": "live"}}}
    assert asking(more={"kafka": own}).kafka.topics["vedette-shadow-answers"].source == "live"


def test_the_configuration_that_the_page_shows_is_taken(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "shadow.md").read_text(encoding="utf-8")
    shown = [line for line in page.splitlines() if line.startswith("    ")]
    file = tmp_path / "vedette.yaml"
    file.write_text(textwrap.dedent("\n".join(shown)), encoding="utf-8")
    config = load_config(file)
    assert config.shadow is not None
    assert config.shadow.candidates["next"].most_per_hour == {"tenant": 200}
    reasons = set(re.findall(r"`([a-z_]+)`", "\n".join(re.findall(r"^\| `.*? \|", page, re.M))))
    assert set(REASONS) | set(TICKET_STATES) == reasons
