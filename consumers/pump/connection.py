"""How a broker is reached: settings for every Kafka client, and their errors in our words."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import (
    AuthorizationError,
    KafkaConfigurationError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.record import util

from agent.broker import Kafka, Security
from agent.errors import BadConfig, StoreDown
from agent.serving import is_loopback
from consumers.certificates import check_authority, check_files, check_pair

_SECTION = "kafka.security"
_REFUSALS = SaslAuthenticationFailedError, UnsupportedSaslMechanismError
MAX_BACKOFF_MS = 1000  # 30 s, the default, kept a consumer waiting 11 s after its broker was back

_Received = tuple[bytes, BaseException | None]


def _data_first(receive: Callable[[Any], _Received]) -> Callable[[Any], _Received]:
    """What comes with the end of a connection is read before the end, which the next call finds.

    kafka-python 3.0.12 drops it (the method is private): a broker refuses a password and hangs up.
    """

    def received(transport: Any) -> _Received:
        data, error = receive(transport)
        return data, None if data else error

    return received


for _transport in (KafkaTCPTransport, KafkaSSLTransport):
    _transport._sock_recv = _data_first(_transport._sock_recv)


def has_fast_crc() -> bool:
    """Whether the C checksum is there: without it a record costs 250 us instead of 12."""
    return getattr(util, "crc32c_c", None) is not None


def settings(config: Kafka) -> dict[str, Any]:
    """What every client is made with; raises BadConfig for clear text off loopback."""
    security = config.security
    hosts = [broker.rsplit(":", 1)[0] for broker in config.brokers]
    clear = security.protocol in ("PLAINTEXT", "SASL_PLAINTEXT")
    if clear and not security.insecure and not all(map(is_loopback, hosts)):
        raise BadConfig(
            "kafka.security.protocol",
            f"{security.protocol} sends clear text to a broker that is not on this machine; "
            "use SSL or SASL_SSL, or set kafka.security.insecure: true",
        )
    return {
        "bootstrap_servers": list(config.brokers),
        "client_id": "vedette",
        "bootstrap_timeout_ms": 6000,  # 30 s, the default, is how long a wrong password would take
        "security_protocol": security.protocol,
        "reconnect_backoff_max_ms": MAX_BACKOFF_MS,
        "metadata_max_age_ms": int(config.metadata_max_age_s * 1000),
        **_sasl(security),
        **_tls(security),
    }


def _sasl(security: Security) -> dict[str, Any]:
    if not security.protocol.startswith("SASL"):
        return {}
    return {
        "sasl_mechanism": security.mechanism,
        "sasl_plain_username": security.username,
        "sasl_plain_password": _password(security),
    }


def _password(security: Security) -> str:
    if security.password is not None:
        return security.password.get_secret_value()
    try:
        file = security.password_file
        return file.read_text(encoding="utf-8").strip() if file is not None else ""
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except UnicodeDecodeError:
        problem = "is no text in UTF-8"
    raise BadConfig("kafka.security.password_file", problem)


def _tls(security: Security) -> dict[str, Any]:
    if not security.protocol.endswith("SSL"):
        return {}
    ca, cert, key = security.ca_file, security.cert_file, security.key_file
    check_files(_SECTION, {"ca_file": ca, "cert_file": cert, "key_file": key})
    if ca is not None:
        check_authority(_SECTION, ca)
    if cert is not None:
        check_pair(_SECTION, cert, key)
    files = {"ssl_cafile": ca, "ssl_certfile": cert, "ssl_keyfile": key}
    told = {name: str(file) if file is not None else None for name, file in files.items()}
    return {"ssl_check_hostname": True, **told}


class _Heard(logging.Handler):
    """Keeps why a connection failed: the client logs it, tries on, and raises a mere time-out."""

    error: BaseException | None = None
    why = ""

    def emit(self, record: logging.LogRecord) -> None:
        for part in record.args if isinstance(record.args, tuple) else ():
            if isinstance(part, _REFUSALS) or "CERTIFICATE_" in str(part):
                self.error = part if isinstance(part, BaseException) else None
            elif isinstance(part, KafkaConnectionError):
                self.why = f": {part.args[0]}" if part.args else ""


@contextmanager
def _hearing() -> Iterator[_Heard]:
    heard, log = _Heard(logging.ERROR), logging.getLogger("kafka.net")
    log.addHandler(heard)
    try:
        yield heard
    finally:
        log.removeHandler(heard)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the client's errors into ours; a password never gets into the message."""
    with _hearing() as heard:
        try:
            yield
        except (KafkaError, OSError) as error:
            raise _ours(heard.error or error, what, heard.why) from None


@contextmanager
def administering(config: Kafka, what: str, answer_ms: int = 10_000) -> Iterator[KafkaAdminClient]:
    """A client for what is no record, until the block ends; its errors in our words."""
    with (
        translated(what),
        closing(KafkaAdminClient(**settings(config), request_timeout_ms=answer_ms)) as client,
    ):
        yield client


def _ours(error: BaseException, what: str, why: str) -> BadConfig | StoreDown:
    if isinstance(error, SaslAuthenticationFailedError):
        return BadConfig("kafka.security", "the broker refused the credentials")
    if isinstance(error, UnsupportedSaslMechanismError):
        return BadConfig("kafka.security.mechanism", "the broker does not offer it")
    if isinstance(error, AuthorizationError):
        return BadConfig("kafka.topics", f"not allowed ({type(error).__name__})")
    if isinstance(error, KafkaConfigurationError):
        return BadConfig("kafka", str(error))
    if "CERTIFICATE_" in str(error):
        problem = "the broker's certificate is not signed by it, or is for another host"
        return BadConfig("kafka.security.ca_file", problem)
    return StoreDown(f"broker: {what} failed ({type(error).__name__}{why})")
