"""A private Alertmanager on this machine, for as long as a test needs it."""

import json
import shutil
import signal
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

import yaml

from deploy.local.child import Child, Unavailable, await_ready, free_port, remove

_NAMES = ("prometheus-alertmanager", "alertmanager")


class Alertmanager:
    """Forwards every alert to `receiver` at once; on 127.0.0.1, without gossip."""

    def __init__(self, receiver: str) -> None:
        found = next((path for name in _NAMES if (path := shutil.which(name))), None)
        if found is None:
            raise Unavailable("alerts need Alertmanager's binary (prometheus-alertmanager)")
        self._folder = Path(tempfile.mkdtemp(prefix="vedette-alertmanager-"))
        route = {"receiver": "test", "group_wait": "0s", "group_interval": "1s"}
        hook = {"url": receiver, "send_resolved": True}
        tree = {
            "route": route | {"group_by": ["..."]},
            "receivers": [{"name": "test", "webhook_configs": [hook]}],
        }
        (self._folder / "alertmanager.yml").write_text(yaml.safe_dump(tree))
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}/api/v2/alerts"
        self._command = (
            *(found, f"--config.file={self._folder / 'alertmanager.yml'}"),
            *(f"--storage.path={self._folder / 'data'}", "--cluster.listen-address="),
            f"--web.listen-address=127.0.0.1:{self.port}",
        )

    def alerts(self) -> list[dict[str, Any]]:
        """What it holds as active."""
        with urllib.request.urlopen(self.address, timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def __enter__(self) -> Self:
        self._child = Child(self._command, self._folder)
        await_ready(self._child, self._answers, "Alertmanager did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._child.end(signal.SIGTERM)
        remove(self._folder)

    def _answers(self) -> bool:
        try:
            self.alerts()
        except (OSError, urllib.error.URLError):
            return False
        return True
