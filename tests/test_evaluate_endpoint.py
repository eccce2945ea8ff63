"""A suite against an endpoint that answers, is slow, dies half-way or costs too much."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from agent.errors import BadConfig, StoreDown
from agent.record import Call
from agent.store import Store, evaluations
from shadow.candidates import worst_case
from suites.keeping import read_run
from suites.record import Run
from suites.suite import Target
from suites.summary import counts_of
from tests.evaluated import run_suite, suite_tree, sums, values, write_lines
from tests.live.endpoint import Endpoint

PRICE = {"input": 1000.0, "output": 1000.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_lines(tmp_path / "sums.jsonl", sums(30))
    return tmp_path


def target(fake: Endpoint, **more: Any) -> dict[str, Any]:
    return {"url": fake.url, "model": "m", "private": True, "attempts": 1, **more}


def statuses(run: Run, at: int = 0) -> list[str | None]:
    return [None if call is None else call.status for call in run.outcomes[at].calls]


def test_every_question_is_asked_once_so_many_at_a_time(folder: Path, store: Store) -> None:
    with Endpoint("slow") as fake:
        one = target(fake, parameters={"temperature": 0, "max_tokens": 9}, key="secret-word")
        run = run_suite(suite_tree({"new": one}, concurrency=3, system="Be brief."), folder, store)
    assert statuses(run) == ["ok"] * 30
    assert fake.most == 3 and len(fake.asked) == 30
    said = {body["messages"][-1]["content"] for _, body in fake.asked}
    assert said == {row["prompt"] for row in sums(30)}
    body = fake.asked[0][1]
    assert (body["temperature"], body["max_tokens"], body["model"]) == (0, 9, "m")
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    first = run.outcomes[0].calls[0]
    assert first is not None and first.response == "Because it is."
    assert (first.tokens_in, first.tokens_out, first.model) == (7, 3, "m")
    assert first.latency_s is not None and first.ttft_s is not None
    with store.transaction() as tx:
        assert read_run(tx, run.name) == run


def test_an_endpoint_that_dies_half_way_is_counted_and_asked_again_later(
    folder: Path, store: Store
) -> None:
    with Endpoint() as fake:
        tree = suite_tree({"new": target(fake, failures=100)}, concurrency=2)

        fake.dies_at = 10
        run = run_suite(tree, folder, store)
        fake.dies_at = None
        answered = statuses(run).count("ok")
        assert answered == 9 and statuses(run).count("error") == 30 - answered
        assert counts_of(run.outcomes[0])["failed"] == {"server_error": 30 - answered}
        before = len(fake.asked)
        again = run_suite(tree, folder, store, again=True)
    assert len(fake.asked) - before == 30 - answered, "what was answered is not asked again"
    assert statuses(again) == ["ok"] * 30 and again.name == run.name
    kept = [i for i, one in enumerate(statuses(run)) if one == "ok"]
    assert [again.outcomes[0].calls[i] for i in kept] == [run.outcomes[0].calls[i] for i in kept]


def test_one_that_is_gone_is_given_up(folder: Path, store: Store) -> None:
    with Endpoint("reset") as fake:
        run = run_suite(suite_tree({"new": target(fake, failures=5)}, concurrency=1), folder, store)
    assert len(fake.asked) == 5
    assert statuses(run).count("error") == 5 and statuses(run).count(None) == 25
    missing = [i for i, one in enumerate(statuses(run)) if one is None]
    assert {values(run, "number_match")[i] for i in missing} == {"given_up"}


def test_a_call_that_takes_too_long_is_a_timeout_and_each_end_is_heard(
    folder: Path, store: Store
) -> None:
    write_lines(folder / "sums.jsonl", sums(3))
    heard: list[tuple[str, int, int]] = []
    with Endpoint("hang") as fake:
        one = target(fake, timeout_s=0.3)
        run = run_suite(suite_tree({"new": one}), folder, store, tell=lambda *a: heard.append(a))
    assert statuses(run) == ["timeout"] * 3
    assert heard == [*(("new", n, 3) for n in range(4)), ("scoring", 3, 3)]
    assert values(run, "number_match") == ["no_response"] * 3


def test_a_store_that_goes_away_ends_the_run_and_loses_nothing_that_it_has(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, n = evaluations.put_answers, itertools.count()

    def away(*given: Any) -> None:
        if next(n) >= 7:
            raise StoreDown("database: does not answer")
        plain(*given)

    with Endpoint() as fake:
        tree = suite_tree({"new": target(fake)}, concurrency=3)
        with monkeypatch.context() as patch:
            patch.setattr(evaluations, "put_answers", away)
            with pytest.raises(StoreDown):
                run_suite(tree, folder, store)
        # By its key: what the first one gave up may come late.
        tree["targets"]["new"]["key"] = "second"
        run = run_suite(tree, folder, store)
    assert statuses(run) == ["ok"] * 30 and run.name == "arithmetic#1"
    assert len(fake.asked_with("second")) == 23


def test_what_another_try_may_mend_is_tried_again(folder: Path, store: Store) -> None:
    write_lines(folder / "sums.jsonl", sums(1))
    with Endpoint("429") as fake:
        run = run_suite(suite_tree({"new": target(fake, attempts=2)}), folder, store)
        assert len(fake.asked) == 2
        fake.mode = "401"
        run_suite(suite_tree({"new": target(fake, attempts=2)}), folder, store)
        assert len(fake.asked) == 3, "a wrong key stays wrong"
    assert counts_of(run.outcomes[0])["failed"] == {"rate_limited": 1}


def test_the_cap_is_never_exceeded_and_what_is_left_is_for_the_next_endpoint(
    folder: Path, store: Store
) -> None:
    # An answer costs 10 tokens; reserved are some 30 bytes of the question and 32 + 20 tokens.
    with Endpoint() as fake:
        both = {name: target(fake, answer_tokens=20, price=PRICE) for name in ("a", "b")}
        tree = suite_tree(both, budget={"usd": 0.5, "calls": 100}, concurrency=4)
        run = run_suite(tree, folder, store)
    asked = [sum(call is not None for call in one.calls) for one in run.outcomes]
    # A share of 0.25 USD is 250 tokens, of which no question may reserve its 80 from 180 on.
    assert 15 <= asked[0] <= 22 and asked[0] <= asked[1]
    assert sum(asked) * 10 <= 500, "0.5 USD at 0.001 USD a token"
    assert len(fake.asked) == sum(asked)
    costs = {call.cost_usd for one in run.outcomes for call in one.calls if call is not None}
    assert costs == {0.01} and run.outcomes[0].measures["cost_usd"] == pytest.approx(asked[0] / 100)
    missing = [i for i, call in enumerate(run.outcomes[1].calls) if call is None]
    assert {values(run, "number_match", 1)[i] for i in missing} == {"over_budget"}
    assert min(missing) < asked[1], "not the last ones, but some that are drawn"


def worst_usd(tree: dict[str, Any], questions: int) -> dict[str, float]:
    """The cap that so many of the questions fit in at their worst."""
    one = Target.model_validate(tree)
    needs = [worst_case(Call("s", 0.0, "", prompt=row["prompt"]), one.candidate(1))
             for row in sums(30)]  # fmt: skip
    return {"usd": questions * max(need.microusd for need in needs) / 1e6}


def test_what_failed_is_not_asked_again_for_money_that_was_spent(
    folder: Path, store: Store
) -> None:
    with Endpoint("bad_json") as fake:
        one = target(fake, answer_tokens=20, price=PRICE, failures=100)
        tree = suite_tree({"new": one}, budget=worst_usd(one, 6), concurrency=2)
        first = run_suite(tree, folder, store)
        asked, fake.mode = len(fake.asked), "ok"
        again = run_suite(tree, folder, store, again=True)
    assert asked == statuses(first).count("error") == 6
    assert len(fake.asked) == asked and statuses(again).count(None) == 30
    assert set(values(again, "number_match")) == {"over_budget"}


def test_a_run_that_goes_on_knows_what_every_try_has_cost(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("suites.asking._WAIT_S", 0.0)
    plain, n = evaluations.put_answers, itertools.count()

    def away(*given: Any) -> None:
        if next(n) == 3:
            raise StoreDown("database: does not answer")
        plain(*given)

    monkeypatch.setattr(evaluations, "put_answers", away)
    with Endpoint("reset") as fake:
        one = target(fake, attempts=2, answer_tokens=20, price=PRICE, failures=100)
        tree = suite_tree({"new": one}, budget=worst_usd(one, 10), concurrency=1)
        with pytest.raises(StoreDown):
            run_suite(tree, folder, store)
        assert len(fake.asked) == 8, "of four questions, the last of which nobody kept"
        run_suite(tree, folder, store)
    assert len(fake.asked) == 8 + 4, "six tries are kept, and ten fit"


def test_a_cap_in_usd_needs_a_price(folder: Path, store: Store) -> None:
    tree = suite_tree({"new": {"url": "https://x.test/v1", "model": "m"}}, budget={"usd": 1})
    with pytest.raises(BadConfig, match=r"budget\.usd needs targets\.new\.price"):
        run_suite(tree, folder, store)
