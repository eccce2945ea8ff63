"""Certificates that the configuration names, tried before anything slow."""

import ssl
from collections.abc import Mapping
from pathlib import Path

from agent.errors import BadConfig


def check_files(section: str, files: Mapping[str, Path | None]) -> None:
    """Raise BadConfig for a file that cannot be read; the keys are those of a section."""
    for name, file in files.items():
        try:
            if file is not None:
                file.read_bytes()
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
            raise BadConfig(f"{section}.{name}", problem) from None


def check_authority(section: str, ca_file: Path) -> None:
    """Raise BadConfig where nobody could be trusted by this file."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_file)
    except ssl.SSLError:
        raise BadConfig(f"{section}.ca_file", "holds no certificate as PEM") from None


def check_pair(section: str, cert_file: Path, key_file: Path | None) -> None:
    """Raise BadConfig where these are no certificate and its key."""
    try:
        # A key with a password would ask for it on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert_file, key_file, lambda: "")
    except (ssl.SSLError, ValueError):
        problem = "and key_file are no certificate and its key"
        raise BadConfig(f"{section}.cert_file", problem) from None
