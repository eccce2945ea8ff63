"""A real single-node Apache Kafka, from Maven artefacts or in a container."""

import signal
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from deploy.local import containers, jars
from deploy.local.child import Lasting, Server, Unavailable, await_ready, free_port, remove

Spawn = Callable[[Path, Sequence[int]], Server]


def properties(ports: dict[str, int], folder: Path, host: str) -> dict[str, str]:
    """The settings of a single node that is broker and controller."""
    internal = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        # FAULTY is advertised at the port of a proxy, so that clients cannot go round it.
        "listeners": f"PLAINTEXT://{host}:{ports['plain']},FAULTY://{host}:{ports['faulty']},"
        f"CONTROLLER://127.0.0.1:{ports['controller']}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{ports['plain']},"
        f"FAULTY://127.0.0.1:{ports['proxy']}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,FAULTY:PLAINTEXT,"
        "CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.quorum.voters": f"1@127.0.0.1:{ports['controller']}",
        "log.dirs": str(folder / "data"),
        "num.partitions": "1",
        # Tests send records with old timestamps; after 5 minutes the broker would delete them.
        "log.retention.ms": "-1",
        "auto.create.topics.enable": "false",
        **{f"{name}.replication.factor": "1" for name in internal},
        **{f"{name}.num.partitions": "1" for name in internal},
        **{f"{name}.min.isr": "1" for name in internal[1:]},
        "group.initial.rebalance.delay.ms": "0",
        # Default 6 s: a killed consumer must be missed within a test.
        "group.min.session.timeout.ms": "1000",
        # Default 9 s: a killed broker is let in again only when its old session has ended.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "num.network.threads": "2",
        "num.io.threads": "2",
        "num.recovery.threads.per.data.dir": "1",
        "log.cleaner.dedupe.buffer.size": "2097152",
    }


class Broker(Lasting):
    """One broker on 127.0.0.1 that keeps its ports and its data over `kill` and `start`.

    `address` is for ordinary clients. For faults, put a `Proxy` that listens on `proxy_port`
    in front of `faulty_port` and give clients `proxied_address`.
    """

    def __init__(
        self, spawn: Spawn | None = None, secure: Callable[[str], dict[str, str]] | None = None
    ) -> None:
        """`secure` gives the settings of a further listener, SECURE, at `host:port`."""
        self._spawn = spawn or find_kafka()
        self._folder = Path(tempfile.mkdtemp(prefix="vedette-kafka-"))
        self._ports = {name: free_port() for name in ("plain", "faulty", "proxy", "controller")}
        self.secure_port = free_port()
        # A published port comes in by the container's own address, never by its loopback.
        host = "0.0.0.0" if self._spawn is containers.spawn_kafka else "127.0.0.1"
        settings = properties(self._ports, self._folder, host)
        for key, value in (secure(f"{host}:{self.secure_port}") if secure else {}).items():
            settings[key] = f"{settings[key]},{value}" if key in settings else value
        text = "".join(f"{key}={value}\n" for key, value in settings.items())
        (self._folder / "server.properties").write_text(text)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._ports['plain']}"

    @property
    def faulty_port(self) -> int:
        return self._ports["faulty"]

    @property
    def proxy_port(self) -> int:
        return self._ports["proxy"]

    @property
    def proxied_address(self) -> str:
        return f"127.0.0.1:{self.proxy_port}"

    def segment(self, topic: str, partition: int = 0) -> Path:
        """The file of a partition's first records; change it only while the broker is stopped."""
        return self._folder / "data" / f"{topic}-{partition}" / f"{0:020}.log"

    def start(self) -> None:
        """Start it and return once it answers clients; also after `stop` and `kill`."""
        if self._server is None:
            plain = self._ports["plain"]
            self._server = self._spawn(self._folder, (plain, self.faulty_port, self.secure_port))
            await_ready(self._server, lambda: jars.answers(plain), "Kafka did not start")

    def stop(self) -> None:
        """End it in good order, keeping the data."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it by kill -9, keeping the data."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self.kill()
        remove(self._folder)


@cache
def find_kafka() -> Spawn:
    """How a broker is started on this machine; Unavailable where it cannot be."""
    with jars.locked():
        try:
            jars.install()
        except Unavailable:
            if containers.engine_runs():
                return containers.spawn_kafka
            raise
        if not jars.ARCHIVE.exists():
            with Broker(jars.spawn_recording) as broker:
                broker.stop()
            jars.FRESH.rename(jars.ARCHIVE)
    return jars.spawn
