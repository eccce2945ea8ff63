"""The worker of a server without a broker: it reads the inbox in a thread of its own."""

import logging
import threading
from concurrent.futures import Future
from contextlib import ExitStack, closing

from agent.config import Config
from agent.errors import BadConfig
from agent.monitor import Monitor
from agent.score import Panel
from agent.store import Store
from consumers.exporter import Health
from consumers.inbox import Inbox
from consumers.metrics import Tally
from consumers.recorder import Recorder
from consumers.service import worker_name
from consumers.telling import ways_of
from consumers.worker import Worker

_log = logging.getLogger("vedette.server")


class Embedded:
    """Scores what the inbox holds until closed, from when the scorers are loaded."""

    def __init__(
        self, config: Config, store: Store, shown: tuple[Tally, Health], panel: Future[Panel]
    ) -> None:
        self._config, self._store, self._shown = config, store, shown
        self._panel = panel
        self._worker: Worker | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker")
        self._thread.start()

    def close(self) -> None:
        """Finish the batch in hand."""
        self._stopped.set()
        if self._worker is not None:
            self._worker.stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            with ExitStack() as held:
                self._work(held)
        except BadConfig as error:
            _log.error("nothing is scored: %s", error)
            self._shown[1].ready(False, str(error))

    def _work(self, held: ExitStack) -> None:
        config, store = self._config, self._store
        self._shown[1].ready(False, "models are being loaded")
        panel, ways = self._panel.result(), ways_of(config, broker=False)
        recorder = Recorder(config, store, self._shown, ways)
        held.enter_context(closing(recorder))
        monitor = Monitor(config, store, panel, on_step=recorder.step)
        self._worker = Worker(config, store, Inbox(store), monitor, recorder, worker_name())
        if not self._stopped.is_set():
            self._worker.run()
