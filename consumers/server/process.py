"""The process behind `vedette serve`: the listener, and without a broker the worker beside it."""

import asyncio
import logging
import socket
import ssl
from contextlib import ExitStack, closing

import uvicorn
from starlette.types import ASGIApp

from agent.config import Config
from agent.errors import BadConfig
from agent.store import Store, open_store
from consumers.exporter import Health
from consumers.recorder import instruments
from consumers.server.access import Keys, keys_of
from consumers.server.app import build_app
from consumers.server.connection import Connection
from consumers.server.desk import Desk
from consumers.server.embedded import Embedded
from consumers.server.scoring import Scoring, begin_loading

_log = logging.getLogger("vedette.server")

# A stop waits so long for requests that are being answered.
_GRACE_S = 10
# Connections beyond which one more is answered with 503: a process has 1,024 files by default.
_CONNECTIONS = 512


def run_server(config: Config) -> None:
    """Answer until SIGTERM; raises BadConfig and StoreDown when it cannot start."""
    keys, tally_health = keys_of(config.server), instruments(config)
    _check_certificate(config)
    tally, health = tally_health
    with ExitStack() as held:
        listener = held.enter_context(closing(bound(config)))
        store, writes = _opened(config)
        held.enter_context(closing(store))
        panel = begin_loading(config)
        if writes:
            held.enter_context(closing(Embedded(config, store, tally_health, panel)))
        else:
            _ready(health)
        scoring = held.enter_context(closing(Scoring(config, panel)))
        _serve(config, Desk(config, store, tally, health, scoring), keys, listener)


def _serve(config: Config, desk: Desk, keys: Keys, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    scheme = "https" if config.server.cert_file else "http"
    shown = f"[{host}]" if ":" in host else host
    _log.info("pages on %s://%s:%d/", scheme, shown, port)
    server = uvicorn.Server(settings_of(config, build_app(desk, keys)))
    asyncio.run(server.serve(sockets=[listener]))


def settings_of(config: Config, app: ASGIApp) -> uvicorn.Config:
    """How connections are served."""
    return uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, proxy_headers=False,
        http=Connection, ws="none", limit_concurrency=_CONNECTIONS, lifespan="off",
        timeout_graceful_shutdown=_GRACE_S,
        ssl_certfile=config.server.cert_file, ssl_keyfile=config.server.key_file,
    )  # fmt: skip


def bound(config: Config) -> socket.socket:
    """The port before anything slow: who waits can already be told why."""
    host, port = config.server.host, config.server.port
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, proto)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen()  # bound alone, a second process could be too
        except OSError:
            made.close()
            raise
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise BadConfig("server.port", f"cannot listen on {host}:{port}: {problem}") from None
    made.setblocking(False)
    return made


def _check_certificate(config: Config) -> None:
    """Read the certificate and its key before anything slow."""
    cert, key = config.server.cert_file, config.server.key_file
    if cert is None or key is None:
        return
    for name, file in (("cert_file", cert), ("key_file", key)):
        try:
            file.read_bytes()
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
            raise BadConfig(f"server.{name}", problem) from None
    try:
        # A key with a password would ask for it on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, lambda: "")
    except (ssl.SSLError, ValueError):
        raise BadConfig("server.cert_file", "and key_file are no certificate and its key") from None


def _opened(config: Config) -> tuple[Store, bool]:
    """The store, and whether this process also takes in and scores.

    On SQLite one process writes: beside it pages are still shown.
    """
    url = config.store.url.get_secret_value()
    if config.server.ingest != "inbox":
        return open_store(url, writer=False), False
    try:
        return open_store(url), True
    except BadConfig as error:
        if "another process is writing" not in str(error):
            raise
        _log.warning("%s: pages only, nothing is taken in here", error)
        return open_store(url, writer=False), False


def _ready(health: Health) -> None:
    health.ready(True)
