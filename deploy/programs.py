"""How a service of compose.yaml is started as a process of this machine, by its image."""

import os
import shutil
import signal
import sys
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from deploy.local import jars
from deploy.local.child import Child, Unavailable
from deploy.local.database import Database
from deploy.places import Part, Places, Tree

_ROOT = Path(__file__).parents[1]
_VEDETTE = f"import sys; sys.path.insert(0, {str(_ROOT)!r}); from consumers.cli import main; main()"
# Debian's names and the projects' own.
_NAMES = {
    "prom/prometheus": ("prometheus",),
    "prom/alertmanager": ("prometheus-alertmanager", "alertmanager"),
}
_GRACE_S = 30.0


class Process(Protocol):
    """A started part."""

    def exit_code(self) -> int | None: ...

    def ready(self) -> bool: ...

    def ask(self) -> None: ...

    def end(self) -> None: ...


class _Program:
    """A program with its command, environment and log as compose.yaml has them."""

    def __init__(self, child: Child, livez: str | None) -> None:
        self._child, self._livez, self._asked = child, livez, False

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._child.exit_code()

    def ready(self) -> bool:
        """Whether the address of its health check answers; one without an address runs."""
        if self._livez is None:
            return True
        try:
            with urllib.request.urlopen(self._livez, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def ask(self) -> None:
        """Ask it to end; once, since a second signal would end it at once."""
        if not self._asked:
            self._asked = True
            self._child.send(signal.SIGTERM)

    def end(self) -> None:
        """Ask it to end, and wait for that; kill it when the grace is over."""
        self.ask()
        self._child.wait(_GRACE_S)


class _Kafka(_Program):
    def __init__(self, child: Child, port: int) -> None:
        super().__init__(child, None)
        self._port = port

    def ready(self) -> bool:
        """Whether it answers clients."""
        return jars.answers(self._port)


class _Postgres:
    """A cluster of its own, with the user and the database that the image would make."""

    def __init__(self, port: int, environment: Mapping[str, str]) -> None:
        self._database = Database(durable=True, port=port)
        try:
            self._database.start()
            owned = environment["POSTGRES_USER"], environment["POSTGRES_DB"]
            self._database.create_owner(*owned)
        except BaseException:
            self.end()
            raise

    def exit_code(self) -> None:
        """Its sessions say when it is gone."""

    def ready(self) -> bool:
        """It is started when this object is there."""
        return True

    def ask(self) -> None:
        """It ends when nobody needs it any more."""

    def end(self) -> None:
        """Stop it and remove its data."""
        self._database.__exit__()


def _start_kafka(part: Part, told: Tree, places: Places) -> Process:
    """By the rule of the image: KAFKA_NODE_ID is `node.id`."""
    with jars.locked():
        jars.install()
    lines = [
        f"{key.removeprefix('KAFKA_').lower().replace('_', '.')}={value}\n"
        for key, value in told["environment"].items()
        if key.startswith("KAFKA_")
    ]
    folder = places.folder(part)
    (folder / "server.properties").write_text(places.text(part, "".join(lines)))
    return _Kafka(jars.spawn(folder, ()), places.port(part, 9092))


def _start_postgres(part: Part, told: Tree, places: Places) -> Process:
    return _Postgres(places.port(part, 5432), told["environment"])


def _start_program(part: Part, told: Tree, places: Places, begin: tuple[str, ...]) -> Process:
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("VEDETTE_")
    }
    own = {key: places.text(part, str(value)) for key, value in told.get("environment", {}).items()}
    command = [*begin, *(places.text(part, str(word)) for word in told["command"])]
    child = Child(command, places.folder(part), environment=environment | own)
    checked = [word for word in told.get("healthcheck", {}).get("test", ()) if "://" in word]
    livez = own.get("LIVEZ") or (places.text(part, checked[0]) if checked else None)
    return _Program(child, livez)


def starter(told: Tree) -> Callable[[Part, Places], Process]:
    """What starts a part of a service; raises Unavailable with a sentence where nothing can."""
    image = str(told["image"]).rpartition(":")[0]
    started: dict[str, Callable[[Part, Tree, Places], Any]] = {
        "apache/kafka": _start_kafka,
        "postgres": _start_postgres,
    }
    if image in started:
        return lambda part, places: started[image](part, told, places)
    if image == "vedette":
        begin: tuple[str, ...] = (sys.executable, "-c", _VEDETTE)
    else:
        found = next((path for name in _NAMES.get(image, ()) if (path := shutil.which(name))), None)
        if found is None:
            raise Unavailable(f"no program on this machine runs what {image} does")
        begin = (found,)
    return lambda part, places: _start_program(part, told, places, begin)
