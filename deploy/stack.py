"""The services of compose.yaml as processes of this machine, without containers: `make stack`.

Commands, environment and configuration are those of compose.yaml; ports are free ones of the
loopback, and what is written lies in a temporary folder. Nothing is left when it ends.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Self

from deploy.local.child import Unavailable, remove
from deploy.places import Part, Places, read_compose
from deploy.programs import Process, starter

_TICK_S, _PATIENCE_S = 0.1, 180.0
# The parts that people reach, what to call them, their ports in compose.yaml and how one writes it.
_SHOWN = {
    "server": ("pages", 8080, "http://{}/"),
    "prometheus": ("Prometheus", 9090, "http://{}/"),
    "alertmanager": ("Alertmanager", 9093, "http://{}/"),
    "kafka": ("Kafka", 9092, "{}"),
}
Say = Callable[[str], None]


class Failed(Exception):
    """A part ended that should not have; the message says which, and how its log ends."""


class Stack(AbstractContextManager["Stack"]):
    """All services, started in the order that `depends_on` asks for and ended in reverse.

    `changes` are laid over the configuration files, `environment` fills in variables, and `say`
    is given every line that a part logs. Raises Failed when a part cannot be started.
    """

    def __init__(
        self, say: Say, changes: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:  # fmt: skip
        self._say, compose = say, read_compose(environment)
        self._services: dict[str, Any] = compose["services"]
        self.folder = Path(tempfile.mkdtemp(prefix="vedette-stack-"))
        self.folder.chmod(0o755)
        self.places = Places(compose, self.folder, changes or {})
        self._running: dict[Part, Process] = {}
        self._read: dict[Part, int] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        needed = {name for one in self._services.values() for name in one.get("depends_on", {})}
        for part in [one for one in self._running if one.service not in needed]:
            self._running[part].ask()
        with ExitStack() as held:  # who reads what is said may have gone: all are ended
            held.callback(remove, self.folder)
            for part in self._running:
                held.callback(self._end, part)

    def _end(self, part: Part) -> None:
        self._running.pop(part).end()
        self._tell(part)

    def address(self, service: str, port: int) -> str:
        """Where a service answers: 127.0.0.1 and its port."""
        return f"127.0.0.1:{self.places.port(Part(service), port)}"

    def addresses(self) -> list[str]:
        """A line for each part that people open."""
        return [
            f"{name:13} {form.format(self.address(service, port))}"
            for service, (name, port, form) in _SHOWN.items()
            if Part(service) in self._running
        ]

    def look(self) -> None:
        """Say what was logged since; raises Failed when a part has ended that should run."""
        for part, process in self._running.items():
            self._tell(part)
            code = process.exit_code()
            if code is not None and (code != 0 or not self._ends(part.service)):
                raise Failed(f"{part} ended with {code}; its last line: {self._last(part)}")

    def _start(self) -> None:
        waiting, until = dict(self._services), time.monotonic() + _PATIENCE_S
        while waiting or not all(one.ready() for one in self._running.values()):
            for name in [one for one in waiting if self._may_start(one)]:
                self._start_service(name, waiting.pop(name))
            self.look()
            if time.monotonic() > until:
                late = [str(part) for part, one in self._running.items() if not one.ready()]
                raise Failed(f"not ready in {_PATIENCE_S:g} s: {', '.join([*late, *waiting])}")
            time.sleep(_TICK_S)

    def _start_service(self, name: str, told: Mapping[str, Any]) -> None:
        try:
            start = starter(dict(told))
        except Unavailable as why:
            return self._say(f"{name} is left out: {why}")
        for part in self.places.parts(name):
            self.places.settle(part)
            self._running[part] = start(part, self.places)

    def _may_start(self, name: str) -> bool:
        wanted = self._services[name].get("depends_on", {})
        return all(self._is(other, told["condition"]) for other, told in wanted.items())

    def _is(self, name: str, condition: str) -> bool:
        """Whether a service has come so far."""
        parts = [self._running.get(part) for part in self.places.parts(name)]
        if condition == "service_completed_successfully":
            return all(one is not None and one.exit_code() == 0 for one in parts)
        return all(one is not None and one.ready() for one in parts)

    def _ends(self, name: str) -> bool:
        """Whether a service is waited for to end."""
        done = "service_completed_successfully"
        wishes = [one.get("depends_on", {}).get(name, {}) for one in self._services.values()]
        return any(one.get("condition") == done for one in wishes)

    def _tell(self, part: Part) -> None:
        log, begin = self.places.folder(part) / "log", self._read.get(part, 0)
        if log.exists():
            with log.open("rb") as file:
                file.seek(begin)
                whole = file.read().rpartition(b"\n")[0]
            self._read[part] = begin + len(whole) + bool(whole)
            for line in whole.decode(errors="replace").splitlines():
                self._say(f"{part}  {line}")

    def _last(self, part: Part) -> str:
        log = self.places.folder(part) / "log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return lines[-1] if lines else "none"


def _interrupt(*_: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # what was started is ended, however impatient
    raise KeyboardInterrupt


def main() -> int:
    """Run until Ctrl-C or SIGTERM; 0, or 1 when a part failed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    try:
        with Stack(say) as stack:
            for line in (*stack.addresses(), "Ctrl-C ends all of it"):
                say(line)
            while True:
                stack.look()
                time.sleep(_TICK_S)
    except KeyboardInterrupt:
        return 0
    except (Failed, Unavailable) as error:
        say(f"stack: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
