"""Who means harm: addresses, bodies and connections that are no use to anybody else."""

import gzip
from pathlib import Path

import pytest

from consumers.server import asking, evaluate, ingest
from consumers.server.access import role_for
from consumers.server.bodies import Room
from tests.serving import TOKENS, bearer, served, told


@pytest.mark.parametrize(
    "path", ["/livezzz", "/loginX", "/livez/../api/now", "/login/", "/logout/x", "/static"]
)
def test_only_what_is_listed_is_open(path: str) -> None:
    assert role_for("GET", path) == "read" and role_for("POST", path) == "admin"


def test_nobody_is_led_to_the_host_that_they_say_this_is(tmp_path: Path) -> None:
    with served(told(tmp_path, tokens=TOKENS)) as client:
        headers = bearer("looker") | {"Host": "evil.example"}
        assert client.get("/api/pipeline/", headers=headers).status_code == 404
        assert client.get("/livez/", headers=headers).status_code == 404


def test_a_body_whose_end_is_said_twice_is_refused(tmp_path: Path) -> None:
    with served(told(tmp_path)) as client:
        headers = {"Content-Length": "9", "Transfer-Encoding": "chunked"}
        answer = client.post("/evaluate", content=iter([b"{}"]), headers=headers)
        assert answer.status_code == 400 and answer.headers["connection"] == "close"


def test_a_name_is_known_in_any_letters(tmp_path: Path) -> None:
    with served(told(tmp_path, names=("Vedette.Example",))) as client:
        for host in ("vedette.example", "VEDETTE.example:8080"):
            assert client.get("/api/pipeline", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("mark", [b"[", b",", b"{},"])
def test_a_body_of_brackets_and_commas_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: bytes
) -> None:
    for one in (ingest, asking):
        monkeypatch.setattr(one, "MARKS", 1000)
    many = b"[" + mark * 1001
    packed = {"Content-Encoding": "gzip"}
    with served(told(tmp_path)) as client:
        for path in ("/ingest", "/ingest/litellm"):
            answer = client.post(path, content=gzip.compress(many), headers=packed)
            assert answer.status_code == 413, answer.text
        # It is refused unread: the scorers of this server never come.
        answer = client.post("/evaluate", content=gzip.compress(many), headers=packed)
        assert (answer.status_code, answer.json()["error"][:15]) == (422, "body: too_large")


def test_bodies_to_be_evaluated_are_held_within_one_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "room_of", lambda _: Room(1000))
    with served(told(tmp_path)) as client:
        for _ in range(3):  # what was refused is given back
            answer = client.post("/evaluate", content=b"x" * 1001)
            assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert client.post("/evaluate", content=b"x" * 1000).status_code == 422
