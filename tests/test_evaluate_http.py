"""Scores on request: what is asked and in which order, what is remembered, what is too much."""

import ast
import itertools
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from agent.config import Config
from agent.errors import BadConfig
from agent.record import Call, Score
from agent.score import Panel
from agent.scoring import Options, load
from consumers.server.scoring import Scoring, begin_loading
from tests.serving import served, told
from tests.waiting import wait_until

README = Path(__file__).parents[1] / "README.md"


class Lengths:
    """Scores the length of an answer; knows what it was given and may be made to wait."""

    name, version = "lengths", "3"
    metrics: tuple[str, ...] = ("response_relevance",)

    def __init__(self) -> None:
        self.seen: list[list[Call]] = []
        self.go, self.began = threading.Event(), threading.Event()
        self.go.set()

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        self.seen.append(list(calls))
        self.began.set()
        assert self.go.wait(30)
        return {self.metrics[0]: [Score(len(call.response or "") / 100) for call in calls]}


@contextmanager
def asking(
    tmp_path: Path, clock: Callable[[], float] = time.monotonic, **server: Any
) -> Iterator[tuple[TestClient, Lengths, Scoring]]:
    config, lengths, panel = told(tmp_path, **server), Lengths(), Future[Panel]()
    panel.set_result(Panel([(lengths, 0.0), (load("refusal", Options(models=False)), 1.0)]))
    scoring = Scoring(config, panel, clock)
    with served(config, scoring=scoring) as client:
        yield client, lengths, scoring


def post(client: TestClient, items: Any, *metrics: str) -> Any:
    body = {"items": items} | ({"metrics": list(metrics)} if metrics else {})
    answer = client.post("/evaluate", json=body)
    return answer.json() if answer.status_code == 200 else (answer.status_code, answer.json())


def test_items_are_scored_in_their_order_with_what_says_so(tmp_path: Path) -> None:
    with asking(tmp_path) as (client, lengths, _):
        items = [{"response": "x" * n} for n in (30, 10, 20)]
        found = post(client, items, "response_relevance")
        assert [one["scores"]["response_relevance"]["value"] for one in found] == [0.3, 0.1, 0.2]
        assert set(found[0]["scores"]) == {"response_relevance"}
        assert found[0]["scores"]["response_relevance"] == {
            "value": 0.3, "status": "ok", "why": None, "version": "lengths 3"}  # fmt: skip
        # Only what is needed for the metrics that are asked, whatever its rate in the stream.
        (one,) = post(
            client, {"response": "I'm sorry, I cannot help with that."}, "response_refusal"
        )
        assert one["scores"]["response_refusal"]["value"] == 1.0
        assert len(lengths.seen) == 1
        (one,) = post(client, {"prompt": "Why?"})
        assert set(one["scores"]) == {"response_relevance", "response_refusal"}
        assert one["scores"]["response_refusal"]["why"] == "no_response"


def test_a_score_is_remembered_by_content_and_for_a_time(tmp_path: Path) -> None:
    now = [0.0]
    with asking(tmp_path, lambda: now[0], evaluate_cached_s=60) as (client, lengths, _):
        item = {"prompt": "Why?", "response": "Because."}
        for at in (0.0, 59.0):
            now[0] = at
            post(client, item | {"id": f"c{at}", "latency_s": at}, "response_relevance")
        assert len(lengths.seen) == 1
        post(client, item | {"prompt": "How?"}, "response_relevance")
        assert len(lengths.seen) == 2
        now[0] = 60.0
        post(client, item, "response_relevance")
        assert len(lengths.seen) == 3


def test_requests_that_wait_are_scored_together_and_more_are_refused(tmp_path: Path) -> None:
    with (
        asking(tmp_path, evaluate_calls=3) as (client, lengths, scoring),
        ThreadPoolExecutor(4) as threads,
    ):
        lengths.go.clear()
        first = threads.submit(post, client, {"response": "a"}, "response_relevance")
        assert lengths.began.wait(30)
        rest = [threads.submit(post, client, {"response": "b" * n}, "response_relevance")
                for n in (2, 3, 4)]  # fmt: skip
        wait_until(lambda: scoring.waiting == 3)
        status, body = post(client, {"response": "c"}, "response_relevance")
        assert status == 429 and body == {"error": "overloaded, retry after 1 s"}
        lengths.go.set()
        found = [one.result(30) for one in (first, *rest)]
        values = [one[0]["scores"]["response_relevance"]["value"] for one in found]
        assert values == [0.01, 0.02, 0.03, 0.04]
        assert [len(batch) for batch in lengths.seen] == [1, 3]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"items": {}, "metrics": ["secret_sauce"]}',
         "metrics: no scorer that is on gives secret_sauce"),
        (b'{"items": {}, "metrics": []}', "metrics: List should have at least 1 item"),
        (b'{"items": [{}, {"prompt": 5}]}', "items.1.prompt: bad_text"),
        (b'{"items": []}', "items: List should have at least 1 item"),
        (b'{"items": [1]}', "items.0: Input should be a mapping"),
        (b'{"items": [{}, {}, {}, {}]}', "items: are 4, and 3 may wait"),
        (b'{"items": {}, "metric": ["x"]}', "metric: unknown key"),
        (b"[" * 100_000, "body: too_deep"),
        (b'{"items": {"prompt": NaN}}', "body: non_finite"),
        (b"\xff\xfe", "body: encoding"),
        (b"", "body: empty"),
        (b"[]", "body: Input should be"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_named_in_a_line(tmp_path: Path, body: bytes, said: str) -> None:
    with asking(tmp_path, evaluate_calls=3) as (client, lengths, _):
        answer = client.post("/evaluate", content=body)
        assert answer.status_code == 422
        assert answer.json()["error"].startswith(said), answer.json()
        assert lengths.seen == []


def test_the_client_of_the_readme_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = README.read_text(encoding="utf-8").split("    import httpx\n", 1)[1].split("\n\n")[0]
    with asking(tmp_path) as (client, _, _):
        monkeypatch.setattr(httpx, "post", lambda url, json, timeout: client.post(url, json=json))
        exec(textwrap.dedent("    import httpx\n" + block), {})
    said = [ast.literal_eval(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["response_refusal"] for one in said] == [0.0, 1.0]
    assert [one["response_relevance"] for one in said] == [0.35, 0.39]


def test_until_models_are_there_and_where_they_are_not_it_is_said(tmp_path: Path) -> None:
    config, panel = told(tmp_path), Future[Panel]()
    with served(config, scoring=Scoring(config, panel)) as client:
        answer = client.post("/evaluate", json={"items": {}})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json() == {"error": "models are being loaded"}
        panel.set_exception(BadConfig("scorers.x", "unknown scorer"))
        answer = client.post("/evaluate", json={"items": {}})
        assert answer.json() == {"error": "nothing can be scored: scorers.x: unknown scorer"}


def test_the_configured_scorers_are_loaded_beside_what_waits(tmp_path: Path) -> None:
    panel = begin_loading(told(tmp_path)).result(60)
    assert "response_refusal" in panel.metric_versions
    bad: Config = told(tmp_path).model_copy(update={"scorers": {"nosuch": None}})
    assert isinstance(begin_loading(bad).exception(60), BadConfig)


def test_two_who_score_with_one_panel_take_turns() -> None:
    turns = list[str]()

    class Slow(Lengths):
        def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
            turns.append(calls[0].id)
            until = time.monotonic() + 0.2
            while not panel._turns._next.locked() and time.monotonic() < until:
                time.sleep(0.001)  # until the other one waits, or is through
            return super().score(calls)

    panel, both_here = Panel([(Slow(), 1.0)]), threading.Barrier(2)

    def score(name: str) -> None:
        both_here.wait()
        for _ in range(20):
            panel.score([Call(name, 0.0, "m", response=name)])

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(score, "ab"))
    both = turns[turns.index("b") if turns[0] == "a" else turns.index("a") :][:20]
    assert sum(x != y for x, y in itertools.pairwise(both)) >= 17
