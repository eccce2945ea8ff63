"""The /metrics, /livez and /readyz endpoint; the only place that knows prometheus_client."""

import gzip
import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from agent.errors import BadConfig
from consumers.metrics import Tally

_log = logging.getLogger("vedette")

# A scrape takes milliseconds; more open connections than this are clients that do not read.
CONNECTIONS_MAX = 32
# Longer than Prometheus' usual scrape time-out of 10 s no answer is of use to it.
CONNECTION_S = 10.0
PLAIN = "text/plain; charset=utf-8"


class Health:
    """Liveness means that the loop made progress, readiness that its dependencies answer."""

    def __init__(
        self,
        stall_s: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._stall_s = stall_s
        self._clock = clock
        self._wall = wall
        self._state = (False, "starting")
        self.progress()

    def progress(self) -> None:
        """The loop completed a step, an empty poll included."""
        self._last = self._clock()
        self.progress_at = self._wall()

    def ready(self, state: bool, why: str = "") -> None:
        """Say whether work can be done and, if not, why; what is new is logged."""
        # A lone surrogate of somebody's message cannot be written to every log.
        now = state, " ".join(why.split()).encode(errors="replace").decode()
        if now != self._state:
            if state:
                _log.info("ready")
            else:
                _log.warning("not ready: %s", now[1])
        self._state = now

    @property
    def state(self) -> tuple[bool, str]:
        """Readiness and its reason in one line."""
        return self._state

    def alive(self, waiting: bool) -> bool:
        """False when work waits and no step was completed for the stall time."""
        return not waiting or self._clock() - self._last < self._stall_s


class Exposition(Collector):
    """A tally as metric families, for any text that prometheus_client can write."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterator[Metric]:
        """The families of one moment."""
        for series, children in self._tally.snapshot():
            family = Metric(series.name.removesuffix("_total"), series.help, series.kind)
            counted = series.name.endswith("_total")
            for child in children:
                labels = dict(zip(series.labels, child.labels, strict=True))
                pairs = zip(self._tally.parts(series), child.shown(), strict=True)
                for (suffix, bound), number in pairs:
                    name = family.name + ("_total" if counted else suffix)
                    bounded = labels if bound is None else {**labels, "le": bound}
                    family.add_sample(name, bounded, number)
            yield family


def render(tally: Tally, accept: str) -> tuple[bytes, str]:
    """The page and its content type, as the client asks for it.

    The two texts that Prometheus asks for are joined from ready lines (12 times faster, and a
    scrape holds the interpreter meanwhile); any other goes through the client's encoder.
    """
    try:
        # One line: a folded header would come back inside our own content type.
        encoder, content_type = choose_encoder(" ".join(accept.split()))
    except (TypeError, ValueError):  # a version that is none
        encoder, content_type = choose_encoder("")
    plain = content_type.startswith("text/plain;")
    known = plain or content_type.startswith("application/openmetrics-text; version=1.0.0;")
    # `dots` and `values` rewrite every name; the other two escapings leave ours as they are.
    if known and not content_type.endswith(("escaping=dots", "escaping=values")):
        return tally.page(openmetrics=not plain), content_type
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Exposition(tally))
    return encoder(registry), content_type


class Server:
    """The endpoint in threads of its own; `close` ends it."""

    def __init__(self, httpd: "_Http") -> None:
        self._httpd = httpd
        self.port: int = httpd.server_address[1]
        self._thread = threading.Thread(target=httpd.serve_forever, name="exporter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port."""
        self._httpd.shutdown()
        self._httpd.server_close()
        self._thread.join()


def serve(
    tally: Tally,
    health: Health,
    host: str = "127.0.0.1",
    port: int = 9464,
    connection_s: float = CONNECTION_S,
) -> Server:
    """Answer on `host`:`port` (0 takes a free one) until closed.

    A loop must always make progress to be alive; an empty poll is progress.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        httpd = _Http(family, address, connection_s)
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise BadConfig("exporter.port", f"cannot listen on {host}:{port}: {problem}") from None
    httpd.tally, httpd.health = tally, health
    return Server(httpd)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    tally: Tally
    health: Health

    def __init__(self, family: socket.AddressFamily, address: Any, connection_s: float) -> None:
        self.address_family = family
        self._connection_s = connection_s
        self._open: dict[socket.socket, float] = {}
        super().__init__(address[:2], _Answer)

    def server_bind(self) -> None:
        # HTTPServer looks its own name up here, which waits for a resolver that may be away.
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        # The oldest goes, not the newest: 200 clients that never read must not shut a scrape out.
        while len(self._open) >= CONNECTIONS_MAX:
            self._drop(next(iter(list(self._open)), None))
        request.settimeout(self._connection_s)
        self._open[request] = time.monotonic() + self._connection_s
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        now = time.monotonic()
        for request, deadline in list(self._open.items()):
            if deadline < now:
                self._drop(request)

    def shutdown_request(self, request: Any) -> None:
        self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news; anything else is a bug and is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def _drop(self, request: socket.socket | None) -> None:
        if request is None or self._open.pop(request, None) is None:
            return
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads or writes it


class _Answer(BaseHTTPRequestHandler):
    server: _Http
    server_version = "vedette"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.split("?", 1)[0]
        if path == "/metrics":
            self._metrics()
        elif path == "/livez":
            alive = self.server.health.alive(waiting=True)
            self._send(200 if alive else 503, "ok" if alive else "no progress")
        elif path == "/readyz":
            ready, why = self.server.health.state
            self._send(200 if ready else 503, "ok" if ready else why or "not ready")
        else:
            self._send(404, "not found: /metrics, /livez, /readyz")

    def log_message(self, format: str, *args: Any) -> None:
        """Probes and scrapes are not logged."""

    def _metrics(self) -> None:
        health = self.server.health
        self.server.tally.health(health.state[0], health.progress_at)
        body, content_type = render(self.server.tally, self.headers.get("Accept", ""))
        packed = gzip_accepted(self.headers.get("Accept-Encoding", ""))
        if packed:
            # Level 1: level 9 took 80 times as long for a page a quarter smaller.
            body = gzip.compress(body, compresslevel=1, mtime=0)
        self._send(200, body, content_type, packed)

    def _send(
        self, status: int, body: bytes | str, content_type: str = PLAIN, packed: bool = False
    ) -> None:
        raw = body if isinstance(body, bytes) else f"{body}\n".encode(errors="replace")
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(raw)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(raw)
