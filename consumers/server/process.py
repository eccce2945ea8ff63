"""The process behind `vedette serve`: the listener, and without a broker the worker beside it."""

import asyncio
import logging
import socket
from contextlib import ExitStack, closing

import uvicorn

from agent.config import Config
from agent.errors import BadConfig
from agent.store import Store, open_store
from consumers.exporter import Health
from consumers.recorder import instruments
from consumers.server.access import Keys, keys_of
from consumers.server.app import build_app
from consumers.server.desk import Desk
from consumers.server.embedded import Embedded
from consumers.server.scoring import Scoring, begin_loading

_log = logging.getLogger("vedette.server")

# A stop waits so long for requests that are being answered.
_GRACE_S = 10


def run_server(config: Config) -> None:
    """Answer until SIGTERM; raises BadConfig and StoreDown when it cannot start."""
    keys, tally_health = keys_of(config.server), instruments(config)
    tally, health = tally_health
    with ExitStack() as held:
        listener = held.enter_context(closing(_bound(config)))
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
    settings = uvicorn.Config(
        build_app(desk, keys), log_config=None, access_log=False, server_header=False,
        proxy_headers=False, timeout_graceful_shutdown=_GRACE_S, lifespan="off",
        ssl_certfile=config.server.cert_file, ssl_keyfile=config.server.key_file,
    )  # fmt: skip
    host, port = listener.getsockname()[:2]
    scheme = "https" if config.server.cert_file else "http"
    shown = f"[{host}]" if ":" in host else host
    _log.info("pages on %s://%s:%d/", scheme, shown, port)
    asyncio.run(uvicorn.Server(settings).serve(sockets=[listener]))


def _bound(config: Config) -> socket.socket:
    """The port before anything slow: who waits can already be told why."""
    host, port = config.server.host, config.server.port
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, proto)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise BadConfig("server.port", f"cannot listen on {host}:{port}: {problem}") from None
    made.setblocking(False)
    return made


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
