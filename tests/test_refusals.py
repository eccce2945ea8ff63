"""What a broker refuses, said by a server on loopback that speaks just so much of its protocol."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.broker import Kafka
from agent.errors import BadConfig
from consumers.pump.connection import administering

_HANDSHAKE, _API_VERSIONS, _AUTHENTICATE = 17, 18, 36
_KNOWN = ((3, 0, 1), (_HANDSHAKE, 0, 1), (_API_VERSIONS, 0, 0), (_AUTHENTICATE, 0, 0))
_NO_ERROR, _NO_MECHANISM, _NO_VERSION, _NO_PASSWORD = 0, 33, 35, 58


def text(words: bytes) -> bytes:
    return struct.pack(">h", len(words)) + words


def answer_to(key: int, version: int, mechanism: bytes) -> bytes:
    if key == _API_VERSIONS:
        known = b"".join(struct.pack(">hhh", *one) for one in _KNOWN)
        error = _NO_VERSION if version else _NO_ERROR
        return struct.pack(">hi", error, len(_KNOWN)) + known
    if key == _HANDSHAKE:
        error = _NO_ERROR if mechanism == b"PLAIN" else _NO_MECHANISM
        return struct.pack(">hi", error, 1) + text(mechanism)
    return struct.pack(">h", _NO_PASSWORD) + text(b"invalid credentials") + struct.pack(">i", 0)


def speak(client: socket.socket, mechanism: bytes) -> None:
    """Answer until something is refused: that and the end leave in one segment, as under load."""
    last = _AUTHENTICATE if mechanism == b"PLAIN" else _HANDSHAKE
    with client, client.makefile("rb") as heard:
        while head := heard.read(4):
            key, version, number = struct.unpack(">hhi", heard.read(*struct.unpack(">i", head))[:8])
            said = struct.pack(">i", number) + answer_to(key, version, mechanism)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, key == last)
            client.sendall(struct.pack(">i", len(said)) + said)
            if key == last:
                return


@contextmanager
def refusing(mechanism: bytes) -> Iterator[str]:
    """The address of a server that offers one mechanism and takes no password."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                speak(client, mechanism)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    ("mechanism", "said"),
    [
        (b"PLAIN", "kafka.security: the broker refused the credentials"),
        (b"GSSAPI", "kafka.security.mechanism: the broker does not offer it"),
    ],
)
def test_a_refusal_that_comes_with_the_end_of_the_connection_is_heard(
    mechanism: bytes, said: str
) -> None:
    security = {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "username": "vedette"}
    with refusing(mechanism) as address:
        config = Kafka.model_validate(
            {"brokers": [address], "security": {**security, "password": "canary-4711"}}
        )
        with pytest.raises(BadConfig) as refused, administering(config, "listing topics"):
            pass
    assert str(refused.value) == said
