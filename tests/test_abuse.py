"""Who means harm: addresses, bodies and connections that are no use to anybody else."""

import gzip
import socket
import ssl
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from agent.serving import Server
from consumers.server import app, asking, connection, ingest
from consumers.server.access import role_for
from consumers.server.bodies import Room
from tests.serving import TOKENS, bearer, served, told
from tests.test_connection import certificate, listening
from tests.waiting import wait_until


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
    rooms = list[Room]()

    def room_of(_: Server) -> Room:
        rooms.append(Room(1000))
        return rooms[-1]

    monkeypatch.setattr(app, "room_of", room_of)
    with served(told(tmp_path)) as client:
        for _ in range(3):  # what was refused is given back
            answer = client.post("/evaluate", content=b"x" * 1001)
            assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert client.post("/evaluate", content=b"x" * 1000).status_code == 422
        assert client.post("/ingest", content=b"x" * 1001).status_code == 503
    assert len(rooms) == 1  # with that of ingest


def test_who_says_nothing_shuts_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECTIONS", 5)
    with listening(told(tmp_path, port=0)) as port, ExitStack() as held:
        silent = [
            held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            for _ in range(12)
        ]
        with httpx.Client() as client:
            assert client.get(f"http://127.0.0.1:{port}/").text == "here"
            assert silent[0].recv(1) == b""  # the oldest
            silent[-1].sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert silent[-1].recv(4096).startswith(b"HTTP/1.1 200")


def test_who_does_not_finish_a_handshake_shuts_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "ACCEPTED", 40)
    monkeypatch.setattr(connection, "_GREETED_S", 60.0)
    cert, key = certificate(tmp_path)
    with (
        listening(told(tmp_path, port=0, cert_file=cert, key_file=key)) as port,
        ExitStack() as held,
        httpx.Client(verify=ssl.create_default_context(cafile=str(cert))) as client,
    ):

        def get() -> str:
            return client.get(f"https://localhost:{port}/").text

        assert get() == "here"
        silent = [
            held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            for _ in range(50)
        ]
        with httpx.Client(verify=ssl.create_default_context(cafile=str(cert))) as newcomer:
            assert newcomer.get(f"https://localhost:{port}/").text == "here"
        assert [one.recv(1) for one in silent[:10]] == [b""] * 10  # the oldest went
        assert get() == "here"  # on the connection that was there before
        silent[-1].setblocking(False)
        with pytest.raises(BlockingIOError):
            silent[-1].recv(1)
    assert not caplog.messages


def test_a_handshake_lasts_some_seconds_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "_GREETED_S", 0.5)
    cert, key = certificate(tmp_path)
    with (
        listening(told(tmp_path, port=0, cert_file=cert, key_file=key)) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as silent,
    ):
        assert silent.recv(1) == b""
    assert not caplog.messages


def test_where_files_run_out_the_newcomer_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, most in (("ACCEPTED", 3), ("_FILES", 3), ("_GREETED_S", 60.0)):
        monkeypatch.setattr(connection, name, most)
    cert, key = certificate(tmp_path)
    with (
        listening(told(tmp_path, port=0, cert_file=cert, key_file=key)) as port,
        ExitStack() as held,
        httpx.Client(verify=ssl.create_default_context(cafile=str(cert))) as client,
    ):
        silent = [
            held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            for _ in range(5)
        ]
        assert [one.recv(1) for one in silent[3:]] == [b"", b""]
        with pytest.raises(httpx.ConnectError):
            client.get(f"https://localhost:{port}/")

        def answered() -> bool:
            with suppress(httpx.ConnectError):
                return client.get(f"https://localhost:{port}/").text == "here"
            return False

        silent[0].close()
        wait_until(answered)
    assert not caplog.messages
