"""The Faust app that reads the requests topic; the only place that knows faust.

Measured on faust-streaming 0.15.3: an agent that raises commits the event all the same, so what
reads here never raises; what is over out of order commits what is in work, so there is one agent
and `Reading` keeps the order; the web server, tables, topics of its own and the leader's topic are
off.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import faust

from agent.shadows import Shadow
from shadow.fetching import UNREADABLE, guard
from shadow.reading import Reading


class Taker(Protocol):
    """Who is given the records; neither method raises."""

    def take(self, value: bytes | None, stamped_at: float, over: Callable[[], None]) -> None:
        """A record and its timestamp, epoch seconds; `over` is called once it may be forgotten."""

    def skip(self, partition: int, offset: int) -> None:
        """A record that cannot be decoded was stepped over."""


# The default of 60 s is how long a killed dispatcher's partitions would wait for the next one.
MOST_SESSION_S = 10.0
_BUFFER = 64  # events of a partition that wait in memory; the default is 4096


class _App(faust.App):
    async def on_first_start(self) -> None:
        """Without the folders that tables would need."""


def make_app(
    shadow: Shadow, door: Mapping[str, Any], taker: Taker, reading: Reading,
    session_s: float = MOST_SESSION_S,
) -> faust.App:  # fmt: skip
    """An app in the group of the dispatchers; `door` is how every Kafka client reaches the broker.

    What `taker` has not called over is read again by whoever has its partition next. A dispatcher
    that is silent for `session_s` is given up, after ten seconds at the latest.
    """
    guard()
    session_s = min(session_s, MOST_SESSION_S)
    app = _App(
        shadow.group,
        broker=";".join(f"kafka://{one}" for one in door["bootstrap_servers"]),
        broker_credentials=_credentials(door),
        broker_client_id=door["client_id"],
        broker_session_timeout=session_s,
        broker_heartbeat_interval=session_s / 5,
        broker_commit_interval=0.5,
        broker_max_poll_records=_BUFFER,
        stream_buffer_maxsize=_BUFFER,
        stream_wait_empty=False,
        consumer_auto_offset_reset="earliest",
        topic_allow_declare=False,
        topic_disable_leader=True,
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        web_enabled=False,
    )
    _listen(app, shadow.requests, taker, reading)
    return app


def _listen(app: faust.App, name: str, taker: Taker, reading: Reading) -> None:
    topic = app.topic(name, value_type=bytes, key_serializer="raw")

    @app.agent(topic, concurrency=1, name="asks")
    async def _asks(stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            over = reading.begin(message.partition, message.offset, event.ack)
            if message.value is UNREADABLE:
                taker.skip(message.partition, message.offset)
                over()
            else:
                taker.take(event.value, message.timestamp, over)

    @app.on_partitions_assigned.connect  # type: ignore[arg-type]  # its Protocol wants more than it sends
    async def _gained(_: Any, *given: Any, **__: Any) -> None:
        reading.gained(one.partition for one in given[0])

    @app.on_partitions_revoked.connect  # type: ignore[arg-type]  # as above
    async def _lost(_: Any, *given: Any, **__: Any) -> None:
        reading.lost(one.partition for one in given[0])


async def run_app(app: faust.App, stopping: asyncio.Event) -> None:
    """Read until told to stop."""
    app.finalize()
    await app.start()
    try:
        await stopping.wait()
    finally:
        await app.stop()


def _credentials(door: Mapping[str, Any]) -> Any:
    protocol = door["security_protocol"]
    context = None
    if protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=door["ssl_cafile"])
        if door["ssl_certfile"] is not None:
            context.load_cert_chain(door["ssl_certfile"], door["ssl_keyfile"])
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=door["sasl_plain_username"],
            password=door["sasl_plain_password"],
            mechanism=door["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None
