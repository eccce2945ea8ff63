"""The proxy does what each mode says, to open connections too."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.live.proxy import Proxy


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before a server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo, args=(listener,), daemon=True).start()
        with Proxy(listener.getsockname()[1]) as standing:
            yield standing
        listener.shutdown(socket.SHUT_RDWR)


def _echo(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_echo_one, args=(connection,), daemon=True).start()


def _echo_one(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(1000):
                connection.sendall(data)
        except OSError:
            return


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def ask(connection: socket.socket, word: bytes = b"hello") -> bytes:
    connection.sendall(word)
    return connection.recv(1000)


def test_pass_carries_bytes_both_ways_and_the_end(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert ask(client) == b"hello"
        client.sendall(b"last")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000) == b"last"
        assert client.recv(1000) == b""


def test_refuse_resets_and_lets_nobody_in_until_pass(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert ask(client) == b"hello"
        proxy.set("refuse")
        with pytest.raises(ConnectionResetError):
            client.recv(1000)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.set("pass")
    with connect(proxy) as client:
        assert ask(client) == b"hello"


def test_blackhole_answers_nothing_and_loses_nothing(proxy: Proxy) -> None:
    with connect(proxy) as old:
        assert ask(old) == b"hello"
        proxy.set("blackhole")
        with connect(proxy) as new:
            for client in (old, new):
                client.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    ask(client, b"waits")
            proxy.set("pass")
            for client in (old, new):
                client.settimeout(5)
                assert client.recv(1000) == b"waits"


def test_reset_accepts_and_resets(proxy: Proxy) -> None:
    proxy.set("reset")
    # The reset may be there before the client has seen its connection open.
    with pytest.raises(ConnectionError), connect(proxy) as client:
        ask(client)
        ask(client)
    proxy.set("pass")
    with connect(proxy) as client:
        assert ask(client) == b"hello"


def test_delay_holds_every_chunk_back(proxy: Proxy) -> None:
    with connect(proxy) as client:
        proxy.set("delay", delay_s=0.2)
        start = time.monotonic()
        assert ask(client) == b"hello"
        assert time.monotonic() - start >= 0.4  # there and back
