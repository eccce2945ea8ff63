"""`vedette serve` as a process of its own, on a store in a folder."""

import re
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from agent.store import open_store
from deploy.local.child import Child, await_ready

ROOT = Path(__file__).parents[2]
_MAIN = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from consumers.cli import main; main()"


class Served:
    """A started server that answers; `url` is where, and `words` are options of the command."""

    def __init__(self, folder: Path, *words: str, **config: Any) -> None:
        told = {"models": False, "store": {"url": f"sqlite:///{folder / 'v.db'}"}} | config
        (folder / "v.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
        (folder / "log").write_bytes(b"")
        command = [sys.executable, "-c", _MAIN, "serve", "-c", "v.yaml", "--port", "0", *words]
        self.process = Child(command, folder)
        self.url = ""
        await_ready(self.process, self._ready, "vedette serve")

    def _ready(self) -> bool:
        found = re.search(r"pages on (http://\S+)/\n", self.process.log_tail())
        if found is None:
            return False
        self.url = found[1]
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self) -> int | None:
        """End it by SIGTERM; its exit code."""
        self.process.end(signal.SIGTERM)
        return self.process.exit_code()


@contextmanager
def serving(folder: Path, *words: str, **config: Any) -> Iterator[Served]:
    """A server that ends with the block, without a traceback."""
    server = Served(folder, *words, **config)
    try:
        yield server
    finally:
        code = server.stop()
    assert (code, "Traceback" in server.process.log_tail()) == (0, False)


def stored(folder: Path, query: Any) -> list[Any]:
    """The rows of a query, beside whoever writes."""
    url = f"sqlite:///{folder / 'v.db'}"
    with closing(open_store(url, writer=False)) as store, store.reading() as tx:
        return list(tx.execute(query))
