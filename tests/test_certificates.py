"""Files of the broker's security that are not what they should be: one line that names the key."""

from pathlib import Path
from typing import Any

import pytest

from agent.broker import Kafka
from agent.errors import BadConfig
from consumers.pump.connection import settings
from tests.test_connection import certificate


def told(**security: Any) -> dict[str, Any]:
    return settings(Kafka.model_validate({"security": {"protocol": "SSL", **security}}))


@pytest.mark.parametrize(
    ("key", "said"),
    [("ca_file", "holds no certificate as PEM"), ("cert_file", "and key_file are no certificate")],
)
@pytest.mark.parametrize("junk", [b"", b"junk\n", b"\xff\x00", b"-----BEGIN CERTIFICATE-----\nx\n"])
def test_a_file_without_a_certificate_is_named(
    tmp_path: Path, key: str, said: str, junk: bytes
) -> None:
    file = tmp_path / "file.pem"
    file.write_bytes(junk)
    with pytest.raises(BadConfig) as refused:
        told(**{key: file})
    assert str(refused.value).startswith(f"kafka.security.{key}: {said}")
    with pytest.raises(BadConfig, match=rf"{key}: cannot be read \(No such file"):
        told(**{key: tmp_path / "gone"})


def test_certificates_that_are_go_through(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    ready = told(ca_file=cert, cert_file=cert, key_file=key)
    assert (ready["ssl_cafile"], ready["ssl_keyfile"]) == (str(cert), str(key))


def test_a_password_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b"\xff\xfe")
    asked = {"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "vedette"}
    with pytest.raises(BadConfig) as refused:
        told(**asked, password_file=file)
    assert str(refused.value) == "kafka.security.password_file: is no text in UTF-8"
