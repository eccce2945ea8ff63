"""The process behind `vedette serve`: the listener, and without a broker the worker beside it."""

import asyncio
import gc
import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager

import uvicorn
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.types import ASGIApp

from agent.config import Config
from agent.errors import BadConfig
from agent.store import Busy, Store, reach
from agent.store.address import address_of, in_memory
from consumers.background import Background
from consumers.certificates import check_files, check_pair
from consumers.recorder import instruments
from consumers.server.access import keys_of
from consumers.server.app import build_app
from consumers.server.connection import Listener, Loop, connections_of
from consumers.server.desk import Desk
from consumers.server.embedded import Embedded
from consumers.server.pulse import pulse
from consumers.server.rehearsal import rehearsal
from consumers.server.scoring import Scoring, begin_loading
from consumers.server.sinks import InboxSink, Shut, Sink, TopicSink
from consumers.server.workshop import Workshop
from consumers.service import stopping, watched
from consumers.stores import open_writer
from shadow.candidates import Model

_log = logging.getLogger("vedette.server")

# Clients that wait to be accepted, and how many are in a turn of the loop.
_BACKLOG = 128
# A stop waits so long for requests that are being answered.
_GRACE_S = 10
# A page asks for itself every 5 s, on the connection that it has.
_KEPT_S = 20
# Requests beyond which one more is answered with 503: a process has 1,024 files by default.
_REQUESTS = 512


def run_server(
    config: Config,
    models: Mapping[str, Model] | None = None,
    feed: Callable[[Store], Background] | None = None,
) -> None:
    """Answer until SIGTERM; raises BadConfig and StoreDown when it cannot start.

    A demonstration brings the models of its candidates along, and what feeds the inbox.
    """
    keys, (tally, health) = keys_of(config.server), instruments(config)
    _check_certificate(config)
    with ExitStack() as held:
        listener = held.enter_context(closing(bound(config)))
        store, busy = store_of(config, alone=feed is not None)
        held.enter_context(closing(store))
        panel, embedded, make = begin_loading(config), None, None
        if config.server.ingest == "inbox" and not busy:
            shown = tally, health
            embedded = held.enter_context(closing(Embedded(config, store, shown, panel, models)))
            make = held.enter_context(closing(Workshop(config, tally.stages))).make
            if feed is not None:
                held.enter_context(closing(feed(store)))
        else:
            held.enter_context(closing(pulse(store, health)))
        works = embedded.works if embedded else lambda: False
        stall_s = config.limits.stall_s
        held.enter_context(watched(lambda: works() and not health.alive(True), stall_s))
        scoring = held.enter_context(closing(Scoring(config, panel)))
        sink = held.enter_context(closing(sink_of(config, store, busy)))
        desk = Desk(config, store, tally, health, scoring, sink, works)
        app = build_app(desk, keys, make)
        _serve(config, app, listener, embedded.ended if embedded else lambda: False)


class _Server(uvicorn.Server):
    """Uvicorn's server; signals are ours, since it would end the process by them after all."""

    def __init__(self, settings: uvicorn.Config, ended: Callable[[], bool]) -> None:
        super().__init__(settings)
        self._ended = ended

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """`stopping` has them."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Whether to end: asked to, or the worker did."""
        return await super().on_tick(counter) or self._ended()

    def stop(self) -> None:
        """End soon."""
        self.should_exit = True


def _serve(config: Config, app: FastAPI, listener: Listener, ended: Callable[[], bool]) -> None:
    host, port = listener.getsockname()[:2]
    scheme = "https" if config.server.cert_file else "http"
    shown = f"[{host}]" if ":" in host else host
    _log.info("pages on %s://%s:%d/", scheme, shown, port)
    server = _Server(settings_of(config, app, listener), ended)
    with stopping(server.stop), closing(rehearsal(app.state.press, config.experiments)):
        answer(server, listener)


def answer(server: uvicorn.Server, listener: Listener) -> None:
    """Serve who comes until the server is told to end."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        # A reader would wait while all that was imported is looked through, and for what the first
        # thread of all imports.
        runner.run(run_in_threadpool(gc.freeze))
        runner.run(server.serve(sockets=[listener]))


def settings_of(config: Config, app: ASGIApp, listener: Listener) -> uvicorn.Config:
    """How connections are served."""
    return uvicorn.Config(
        app, log_config=None, access_log=False,
        log_level="error",  # anybody may cause a warning, and as many as they like
        server_header=False,
        proxy_headers=bool(config.server.proxies), forwarded_allow_ips=list(config.server.proxies),
        http=connections_of(listener), ws="none", lifespan="off",
        backlog=_BACKLOG, limit_concurrency=_REQUESTS,
        timeout_graceful_shutdown=_GRACE_S, timeout_keep_alive=_KEPT_S,
        ssl_certfile=config.server.cert_file, ssl_keyfile=config.server.key_file,
    )  # fmt: skip


def bound(config: Config) -> Listener:
    """The port before anything slow: who waits can already be told why."""
    host, port = config.server.host, config.server.port
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = Listener(family, kind, proto)
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
    check_files("server", {"cert_file": cert, "key_file": key})
    if cert is not None:
        check_pair("server", cert, key)


def store_of(config: Config, alone: bool = False) -> tuple[Store, str]:
    """The store, and why this process may not write to it where it should.

    On SQLite one process writes: beside it pages are still shown, but BadConfig where this is the
    process that has to write, `alone`. Who only reads answers from the start, and is ready once the
    store is.
    """
    url = config.store.url.get_secret_value()
    if in_memory(address_of(url)):
        problem = "is in memory, which the threads of a server do not share: name a file"
        raise BadConfig("store.url", problem)
    if config.server.ingest != "inbox":
        return reach(url), ""
    try:
        return open_writer(config), ""
    except Busy as error:
        if alone:
            raise
        _log.warning("%s: pages only, nothing is taken in here", error)
        return reach(url), f"{error}: pages only, nothing is taken in here"


def sink_of(config: Config, store: Store, busy: str) -> Sink:
    """Where this process puts what is taken in; `busy` is why it may not."""
    if config.server.ingest == "kafka":
        return TopicSink(config)
    if config.server.ingest == "off":
        return Shut("server.ingest is off: nothing is taken in here", off=True)
    return Shut(busy) if busy else InboxSink(store, config.server)
