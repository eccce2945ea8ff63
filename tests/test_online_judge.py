"""A judge of production's answers: drawn, asked by ticket, its verdicts in panes and estimates."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from sqlalchemy import func, select
from typer.testing import CliRunner

from agent.asking import why_not
from agent.config import load_config
from agent.record import Answer, Call, Feedback, Reject
from agent.store import Store, open_store, reads, subjects
from agent.store.judgements import judgements
from agent.store.ticket_tables import tickets
from consumers.cli import app
from consumers.formats import parse
from shadow.asks import from_bytes, to_bytes
from shadow.candidates import worst_case
from shadow.client import Endpoint as Client
from suites.judge.canaries import Trust
from suites.judge.online import CANARIES_EVERY, OnlineJudge
from tests.judges import RUBRICS, honest, obedient, read, talkative
from tests.live.endpoint import Endpoint
from tests.road import native
from tests.shadowing import asking, flushed
from tests.shadows import ask, candidate

HARM = RUBRICS["harmlessness"]
MAIL = "Write to ann@example.org."


@pytest.fixture
def fake() -> Iterator[Endpoint]:
    with Endpoint("say") as one:
        one.say = honest()
        yield one


def asked(fake: Endpoint, *texts: str, **more: Any) -> list[Answer]:
    one = candidate(fake.url, stream=False, timeout_s=20.0)

    async def go() -> list[Answer]:
        model = OnlineJudge(HARM, Client("judge", one), **more)
        calls = [Call(f"c{n}", 0.0, "m", prompt="Why?", response=text)
                 for n, text in enumerate(texts)]  # fmt: skip
        answers = [await model.ask(call) for call in calls]
        await model.close()
        return answers

    return asyncio.run(go())


def test_a_verdict_is_an_answer_whose_text_is_its_value(fake: Endpoint) -> None:
    first, second = asked(fake, HARM.canaries[0].answer, "Hurt him.")
    assert (first.text, second.text) == ("1.0", "0.0")
    # Six canaries came before the first; each reply has 7 and 3 tokens.
    assert (first.tokens_in, second.tokens_in, second.tokens_out) == (49, 7, 3)
    assert len({read(body)[0] for _, body in fake.asked}) == 8


def test_a_judge_that_obeys_gives_no_verdict_and_is_tried_again(fake: Endpoint) -> None:
    fake.say = obedient
    first, second = asked(fake, "Fine.", "Fine.")
    assert (first.status, first.error) == ("error", "judge_distrusted")
    assert second.error == "judge_distrusted"
    assert len(fake.asked) == 12


def test_canaries_come_back_after_so_many_calls(fake: Endpoint) -> None:
    asked(fake, *["Fine."] * 5, every=2)
    assert len(fake.asked) == 5 + 3 * 6


def test_what_the_judge_says_badly_is_told_from_what_it_fails_at(fake: Endpoint) -> None:
    (first,) = asked(fake, "Fine.", every=10)
    assert first.status == "ok"
    plain = honest()
    fake.say = lambda body: "no" if "Odd." in str(read(body)[2]) else plain(body)
    (unread,) = asked(fake, "Odd.")
    assert (unread.status, unread.error) == ("error", "verdict_bad_json")
    fake.say = talkative(plain)
    (second_try,) = asked(fake, "Fine.")
    assert second_try.status == "ok"
    fake.mode = "500"
    (away,) = asked(fake, "Fine.")
    assert away.error == "judge_distrusted"


def test_nothing_costs_more_than_was_reserved(fake: Endpoint) -> None:
    one = candidate(fake.url, answer_tokens=50, price={"input": 1.0, "output": 2.0})
    model = OnlineJudge(HARM, Client("judge", one))
    call = Call("c", 0.0, "m", prompt="Why?", response="Because.")
    due = model.worst_case(call, one)
    assert due.calls == 1
    assert due.tokens > 2 * 7 * worst_case(call, one).tokens
    model._trust = Trust(7, 7, 0, 0.9)
    model._since = CANARIES_EVERY - one.concurrency
    assert model.worst_case(call, one) == due, "the calls before it may bring it to the canaries"
    model._since, model._canaries = 0, []
    bare = model.worst_case(call, one)
    assert 0 < bare.tokens < due.tokens and bare.microusd < due.microusd
    assert model.worst_case(Call("c", 0.0, "m"), one) == (1, 0, 0)
    asyncio.run(model.close())


def test_an_ask_of_a_judge_carries_the_answer_and_no_other_does() -> None:
    plain = ask(response="Because.")
    assert from_bytes(to_bytes(plain)).call.response is None
    own = type(plain)(plain.ticket, "new", plain.call, judge=True)
    back = from_bytes(to_bytes(own))
    assert (back.judge, back.call.response) == (True, "Because.")


def test_what_a_judge_may_not_read_is_not_asked() -> None:
    call = Call("c", 0.0, "m", prompt="Why?", response="Because.")
    assert why_not(call, False, judge=True) is None
    told: list[tuple[dict[str, Any], str]] = [
        ({"response": None}, "no_response"), ({"status": "error"}, "no_response"),
        ({"response": MAIL}, "personal_data"), ({"contexts": (MAIL,)}, "personal_data"),
    ]  # fmt: skip
    for more, why in told:
        assert why_not(replace(call, **more), False, judge=True) == why
    mail = Call("c", 0.0, "m", prompt="Why?", response=MAIL)
    assert why_not(mail, True, judge=True) is None
    assert why_not(mail, False) is None, "another candidate does not read the answer"


def test_tickets_of_a_judge_are_in_no_pair_and_units_do_not_bind_it(store: Store) -> None:
    records = [native(n, unit="ann") for n in range(4)] + [native(9, status="error")]
    flushed(store, asking(rubric="harmlessness"), records)
    with store.transaction() as tx:
        rows = tx.execute(select(tickets)).all()
    assert [(row.probe, row.common, row.counts_in) for row in rows] == [("judge", 0, "[]")] * 4


@pytest.mark.parametrize(
    "part",
    [{"always": ["tenant=a"]}, {"most_per_hour": {"tenant": 3}}, {"probes": 0.1}],
)
def test_a_judge_takes_nothing_that_bends_its_sample(part: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="it draws evenly"):
        candidate(rubric="harmlessness", **part)


def test_a_judgement_says_whose_it_is() -> None:
    def judged(**more: Any) -> Any:
        body = {"feedback_for": "c1", "at": 1_767_225_600, "value": 1, **more}
        (one,) = parse(json.dumps(body).encode(), "auto", load_config(), 1_767_225_700.0)
        return one

    assert judged().metric == "feedback"
    assert judged(judge="harm").metric == "judge_harm"
    assert isinstance(judged(judge="harm"), Feedback)
    for bad in ("Harm!", "", 3, "x" * 60):
        assert isinstance(judged(judge=bad), Reject)


def config_of(folder: Path, fake: Endpoint, **judge: Any) -> Path:
    told = {
        "url": fake.url,
        "model": "judge-1",
        "private": True,
        "stream": False,
        "rate": 1.0,
        "rubric": "harmlessness",
        "budget": {"calls": 10_000},
        "timeout_s": 20,
    } | judge
    tree = {"models": False, "shadow": {"candidates": {"harm": told}},
            "store": {"url": f"sqlite:///{folder / 'vedette.db'}"}}  # fmt: skip
    path = folder / "vedette.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


def watched(folder: Path, config: Path, make: Callable[[int], str], n: int = 120) -> None:
    units = ("ann", "bob", "cem")
    lines = (json.dumps(native(i, response=make(i), unit=units[i % 3])) for i in range(n))
    (folder / "calls.jsonl").write_text("\n".join(lines) + "\n")
    assert run("watch", str(folder / "calls.jsonl"), "-c", str(config)).exit_code == 0


def test_a_log_is_judged_and_the_rate_of_all_calls_is_told(tmp_path: Path, fake: Endpoint) -> None:
    """Every fourth answer is bad, and only bad ones hold an address, which a rule sees in all."""
    config = config_of(tmp_path, fake, rate=0.5, trusted=True)
    good = HARM.canaries[0].answer
    watched(tmp_path, config, lambda i: good if i % 4 else f"{MAIL} {i}")
    done = run("judge", "harm", "--cheap", "response_pii", "--json", "-c", str(config))
    found = json.loads(done.stdout)
    # Those before the first and behind the last that was judged are not looked at.
    assert 100 <= found["calls"] <= 120
    assert 40 <= found["judged"] <= 80
    alone, both, always = (
        found["estimates"][name] for name in ("judge", "judge + response_pii", "at every look")
    )
    for one in (alone, both, always):
        assert one["lower"] < 0.75 < one["upper"]
    assert both["upper"] - both["lower"] < 0.8 * (alone["upper"] - alone["lower"])
    assert both["weight"] > 0.4
    said = run("judge", "harm", "--cheap", "response_pii", "-c", str(config)).stdout
    assert "judge + response_pii" in said and "of these" not in said


def test_services_that_it_is_not_asked_of_do_not_count(tmp_path: Path, fake: Endpoint) -> None:
    config = config_of(tmp_path, fake, services=["support"])
    calls = (native(n, response=f"text {n}", service=("support", "sales")[n % 2])
             for n in range(20))  # fmt: skip
    (tmp_path / "calls.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in calls))
    assert run("watch", str(tmp_path / "calls.jsonl"), "-c", str(config)).exit_code == 0
    found = json.loads(run("judge", "harm", "--json", "-c", str(config)).stdout)
    assert (found["calls"], found["judged"]) == (10, 10)


def test_verdicts_are_a_series_of_the_judged_calls(tmp_path: Path, fake: Endpoint) -> None:
    config = config_of(tmp_path, fake)
    watched(tmp_path, config, lambda i: f"text {i}", 30)
    store = open_store(f"sqlite:///{tmp_path / 'vedette.db'}")
    with store.transaction() as tx:
        rows = tx.execute(select(judgements)).all()
        states = tx.scalars(select(tickets.c.state)).all()
        panes = [(group.variant, row.summaries) for level in (10, 60, 3600)
                 for _, _, group, row in reads.pane_rows(tx, 0, 4e9, level)]  # fmt: skip
        forgotten = subjects.forget(tx, "ann")
        left = tx.scalar(select(func.count()).select_from(judgements))
    store.close()
    assert (forgotten["judgements"], left) == (10, 20)
    assert len(rows) == 30
    assert {(row.metric, row.value) for row in rows} == {("judge_harm", 0.0)}
    assert states == ["answered"] * 30
    assert any("judge_harm" in held for variant, held in panes if variant == "production")
    assert not any(variant.startswith("shadow:") for variant, _ in panes)


def test_a_distrusted_judge_leaves_no_verdict(tmp_path: Path, fake: Endpoint) -> None:
    fake.say = obedient
    config = config_of(tmp_path, fake, breaker={"failures": 3})
    watched(tmp_path, config, lambda i: f"text {i}", 10)
    with pytest.raises(Exception, match="has judged no stored call"):
        run("judge", "harm", "-c", str(config))


@pytest.mark.parametrize(
    ("words", "says"),
    [(("other",), "is not configured"), (("harm", "--cheap", "tone"), "no metric tone")],
)
def test_what_cannot_be_asked_says_why(
    tmp_path: Path, fake: Endpoint, words: tuple[str, ...], says: str
) -> None:
    config = config_of(tmp_path, fake)
    with pytest.raises(Exception, match=says):
        run("judge", *words, "-c", str(config))


def test_a_budget_that_is_spent_is_told_and_what_came_later_does_not_count(
    tmp_path: Path, fake: Endpoint
) -> None:
    """The budget takes the first 60 calls, which are good; the last 60 are bad and never asked."""
    config = config_of(tmp_path, fake, budget={"calls": 60}, concurrency=1)
    good = HARM.canaries[0].answer
    watched(tmp_path, config, lambda i: good if i < 60 else f"text {i}")
    words = ("judge", "harm", "--cheap", "response_pii", "--until", "4e9", "-c", str(config))
    found = json.loads(run(*words, "--json").stdout)
    assert (found["calls"], found["judged"], found["aside"]) == (60, 60, 60)
    assert (found["unasked"], found["waiting"], found["silent"]) == ({"over_budget": 60}, 0, 0)
    assert "at every look" not in found["estimates"]
    said = run(*words).stdout
    assert f"warning: {found['warnings'][0]}" in said
    assert "60 calls that were drawn were not asked (60 over_budget)" in said


def test_a_judge_that_fails_widens_what_is_told(tmp_path: Path, fake: Endpoint) -> None:
    honestly = honest()
    fake.say = lambda body: "no" if " 7" in str(read(body)[2]) else honestly(body)
    watched(tmp_path, config := config_of(tmp_path, fake), lambda i: f"text {i} ", 60)
    found = json.loads(run("judge", "harm", "--json", "-c", str(config)).stdout)
    assert (found["calls"], found["judged"], found["silent"]) == (60, 59, 1)
    assert found["estimates"]["judge"]["upper"] > 0.07
    assert found["warnings"][0].startswith("1 calls were asked and have no verdict")
