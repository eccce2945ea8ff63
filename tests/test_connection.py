"""Connections as they are: TLS, clients that are slow on purpose, and starts that are refused."""

import logging
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.config import Config, load_config
from agent.errors import BadConfig
from consumers.server import connection
from consumers.server.process import answer, bound, run_server, settings_of
from tests.serving import told


@contextmanager
def listening(config: Config, body: str = "here", app: ASGIApp | None = None) -> Iterator[int]:
    """The port of a server in a thread that reads what it is sent and says the same to all."""

    async def same(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await PlainTextResponse(body)(scope, receive, send)

    with closing(bound(config)) as listener:
        server = uvicorn.Server(settings_of(config, app or same, listener))
        thread = threading.Thread(target=answer, args=(server, listener))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def certificate(tmp_path: Path, name: str = "own") -> tuple[Path, Path]:
    cert, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
    asked = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subprocess.run(
        ["openssl", *asked.split(), "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-out", str(cert), "-keyout", str(key)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def test_tls_is_spoken_with_the_certificate_and_nothing_older(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with listening(told(tmp_path, port=0, cert_file=cert, key_file=key)) as port:
        trusted = ssl.create_default_context(cafile=str(cert))
        with httpx.Client(verify=trusted) as client:
            assert client.get(f"https://localhost:{port}/").text == "here"
        old = ssl.create_default_context(cafile=str(cert))
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        old.set_ciphers("AES128-SHA")
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with httpx.Client(verify=old) as client, pytest.raises(httpx.ConnectError):
            client.get(f"https://localhost:{port}/")


@pytest.mark.parametrize(
    "said", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"]
)
def test_who_does_not_finish_a_request_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(connection, "_SENT_S", 1.0)
    whole = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with listening(told(tmp_path, port=0)) as port:
        for first in (b"", whole):  # at once, and after a request that was whole
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                client.sendall(first + said)
                heard = b""
                while more := client.recv(4096):
                    heard += more
                assert (b"200 OK" in heard) == bool(first)
        with httpx.Client() as client:
            assert client.get(f"http://127.0.0.1:{port}/").text == "here"


def test_who_does_not_take_an_answer_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "_TAKEN_S", 0.2)
    closed, lost = threading.Event(), connection.Connection.connection_lost

    def told_lost(self: connection.Connection, error: Exception | None) -> None:
        lost(self, error)
        closed.set()

    monkeypatch.setattr(connection.Connection, "connection_lost", told_lost)
    caplog.set_level(logging.WARNING)
    with (
        listening(told(tmp_path, port=0), "x" * (32 << 20)) as port,
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert closed.wait(120)
    assert caplog.messages == []


@pytest.mark.parametrize(("proxies", "seen"), [((), "127.0.0.1"), (("127.0.0.0/8",), "7.7.7.7")])
def test_who_asks_is_what_a_proxy_says_that_is_known(
    tmp_path: Path, proxies: tuple[str, ...], seen: str
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        told = f"{scope['client'][0]} {scope['scheme']}"
        await PlainTextResponse(told)(scope, receive, send)

    forged = {"X-Forwarded-For": "9.9.9.9, 7.7.7.7, 127.0.0.1", "X-Forwarded-Proto": "https"}
    with listening(told(tmp_path, port=0, proxies=proxies), app=app) as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/", headers=forged).text
    assert answer == f"{seen} {'https' if proxies else 'http'}"


def test_a_start_that_cannot_be_says_why_in_a_line(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    _, other = certificate(tmp_path, "other")
    taken = bound(told(tmp_path, port=0))
    port = taken.getsockname()[1]
    gone = tmp_path / "gone"
    with closing(taken):
        for server, said in (
            ({"port": port}, f"port: cannot listen on 127.0.0.1:{port}: Address already in use"),
            ({"cert_file": gone, "key_file": key}, "cert_file: cannot be read (No such file"),
            ({"cert_file": cert, "key_file": gone}, "key_file: cannot be read (No such file"),
            ({"cert_file": cert, "key_file": other}, "cert_file: and key_file are no certificate"),
            ({"tokens": {"a": {"role": "read", "secret_file": gone}}}, "tokens.a.secret_file: can"),
        ):
            with pytest.raises(BadConfig) as refused:
                run_server(told(tmp_path, **server))
            assert str(refused.value).startswith(f"server.{said}")
            assert "\n" not in str(refused.value)
    with pytest.raises(BadConfig, match=r"server\.proxies: 10\.0\.0\.1/8 has host bits"):
        told(tmp_path, proxies=("10.0.0.1/8",))
    with pytest.raises(BadConfig, match="server: cert_file and key_file belong together"):
        told(tmp_path, cert_file=cert)
    assert not (tmp_path / "v.db").exists()
    with pytest.raises(BadConfig, match=r"store\.url: is in memory, which the threads"):
        run_server(load_config(store={"url": "sqlite:///:memory:"}, server={"port": 0}))
