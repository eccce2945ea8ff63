"""The same servers in containers, where an engine runs; testcontainers' reaper ends them."""

import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.local.child import Unavailable
from deploy.local.jars import cluster_id

KAFKA_IMAGE = "apache/kafka:4.4.0"
POSTGRES_IMAGE = "postgres:17"


def engine_runs() -> bool:
    """Whether a container engine answers."""
    # Asked for a socket that is not there, the client would leave its own end open.
    if "DOCKER_HOST" not in os.environ and not Path("/var/run/docker.sock").exists():
        return False
    import docker

    try:
        with contextlib.closing(docker.from_env(timeout=5)) as client:
            return bool(client.ping())
    except docker.errors.DockerException:
        return False


class Container:
    """A server in a container that sees `folder` under the same path and is signalled by name."""

    def __init__(self, image: str, folder: Path, ports: Sequence[int], command: list[str]) -> None:
        import docker
        from testcontainers.core.container import DockerContainer

        # The images' own users must reach their data in it.
        folder.chmod(0o777)
        container = DockerContainer(image).with_volume_mapping(str(folder), str(folder), "rw")
        published: dict[str, Any] = container.ports
        published.update({str(port): ("127.0.0.1", port) for port in ports})
        data, trust = str(folder / "data"), "trust"
        container.with_envs(PGDATA=data, POSTGRES_HOST_AUTH_METHOD=trust, LOG_DIR=str(folder))
        container.with_kwargs(user=f"{os.geteuid()}:{os.getegid()}", working_dir=str(folder))
        self._container = container.with_command(command)
        try:
            self._container.start()
        except docker.errors.DockerException as error:
            raise Unavailable(f"the container of {image} did not start: {error}") from None

    def send(self, number: signal.Signals) -> None:
        self._inner().kill(signal=number.name)

    def end(self, number: signal.Signals, timeout_s: float = 20.0) -> None:
        if self.exit_code() is None:
            self.send(number)
            self._inner().wait(timeout=timeout_s)
        self._container.stop()

    def exit_code(self) -> int | None:
        inner = self._inner()
        inner.reload()
        return int(inner.attrs["State"]["ExitCode"]) if inner.status == "exited" else None

    def log_tail(self) -> str:
        return str(self._inner().logs(tail=30).decode(errors="replace"))

    def _inner(self) -> Any:
        return self._container.get_wrapped_container()


def spawn_kafka(folder: Path, ports: Sequence[int]) -> Container:
    """Start a broker on `folder/server.properties`, formatting its storage the first time."""
    home, properties = "/opt/kafka/bin", folder / "server.properties"
    format_it = f"{home}/kafka-storage.sh format --ignore-formatted -t {cluster_id()}"
    script = f"{format_it} -c {properties} && exec {home}/kafka-server-start.sh {properties}"
    return Container(KAFKA_IMAGE, folder, ports, ["sh", "-c", script])


def spawn_postgres(folder: Path, ports: Sequence[int], options: Sequence[str]) -> Container:
    """Start a cluster in `folder/data`, made by the image the first time."""
    return Container(POSTGRES_IMAGE, folder, ports, ["postgres", *options])
