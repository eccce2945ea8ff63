"""The endpoint answers whatever its clients are like."""

import gzip
import logging
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from agent.errors import BadConfig
from consumers.exporter import CONNECTION_S, Health, Server, serve
from consumers.metrics import Tally
from tests.exposition import (
    filled,
    get,
)
from tests.waiting import wait_until


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def server(health: Health) -> Iterator[Server]:
    running = serve(filled(), health, port=0)
    yield running
    running.close()


def test_liveness_is_progress_while_work_waits() -> None:
    now = [100.0]
    health = Health(stall_s=60, clock=lambda: now[0])
    now[0] = 159.0
    assert health.alive(waiting=True)
    now[0] = 161.0
    assert not health.alive(waiting=True)
    assert health.alive(waiting=False)
    health.progress()
    assert health.alive(waiting=True)


def test_the_probes_answer(
    server: Server, health: Health, caplog: pytest.LogCaptureFixture
) -> None:
    assert get(server, "/livez")[:2] == (200, b"ok\n")
    assert get(server, "/readyz")[:2] == (503, b"starting\n")
    health.ready(False, "database is away:\ntry \ud800 later")
    assert get(server, "/readyz")[:2] == (503, b"database is away: try ? later\n")
    assert caplog.messages == ["not ready: database is away: try ? later"]
    health.ready(True)
    assert get(server, "/readyz")[:2] == (200, b"ok\n")
    assert get(server, "/")[0] == 404
    assert b"vedette_ready 1.0\n" in get(server, "/metrics")[1]


def test_each_change_of_readiness_is_logged_once(
    health: Health, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "vedette")
    for _ in range(3):
        health.ready(False, "database: connection lost")
    for _ in range(3):
        health.ready(True)
    assert caplog.messages == ["not ready: database: connection lost", "ready"]


def test_a_stalled_loop_fails_its_probe() -> None:
    now = [0.0]
    health = Health(stall_s=60, clock=lambda: now[0])
    server = serve(Tally(), health, port=0)
    try:
        now[0] = 59.0
        assert get(server, "/livez")[:2] == (200, b"ok\n")
        now[0] = 100.0
        assert get(server, "/livez")[:2] == (503, b"no progress\n")
    finally:
        server.close()


def test_the_page_is_packed_when_asked(server: Server) -> None:
    status, body, headers = get(server, "/metrics?x=1", **{"Accept-Encoding": "gzip"})
    assert status == 200 and headers["Content-Encoding"] == "gzip"
    plain = get(server, "/metrics")[1]
    assert gzip.decompress(body) == plain and len(body) < len(plain) / 5


def test_clients_that_do_not_read_hold_nothing_up(server: Server) -> None:
    clients = []
    try:
        for number in range(200):
            client = socket.create_connection(("127.0.0.1", server.port), timeout=5)
            clients.append(client)
            client.sendall(b"GET /metrics HTTP/1.0\r\n" + b"\r\n" * (number % 2))
        started = time.perf_counter()
        assert get(server, "/metrics")[0] == 200
        assert time.perf_counter() - started < CONNECTION_S / 2  # each of them is given as much
        wait_until(lambda: sum(t.name.startswith("Thread-") for t in threading.enumerate()) < 64)
    finally:
        for client in clients:
            client.close()


def test_a_client_that_drips_its_request_is_cut_off(health: Health) -> None:
    server = serve(Tally(), health, port=0, connection_s=1.0)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        started = time.perf_counter()
        client.sendall(b"GET /metrics HTTP/1.0\r\nX: ")
        with pytest.raises(OSError):  # each byte would renew a time-out of the socket alone
            while time.perf_counter() - started < 30:
                client.sendall(b"x")
                time.sleep(0.2)
    server.close()


def test_a_port_that_is_taken_is_one_line(server: Server) -> None:
    with pytest.raises(BadConfig, match=r"^exporter\.port: cannot listen on 127\.0\.0\.1:"):
        serve(Tally(), Health(), port=server.port)


def test_a_closed_server_frees_its_port(health: Health) -> None:
    first = serve(Tally(), health, port=0)
    first.close()
    second = serve(Tally(), health, port=first.port)
    assert second.port == first.port
    second.close()
