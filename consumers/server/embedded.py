"""The worker of a server without a broker: it reads the inbox in a thread of its own."""

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, wait
from contextlib import ExitStack, closing

from agent.config import Config
from agent.monitor import Monitor
from agent.score import Panel
from agent.store import Store
from consumers.exporter import Health
from consumers.inbox import Inbox
from consumers.metrics import Tally
from consumers.recorder import Recorder
from consumers.service import worker_name
from consumers.shadowing import embedded, open_models
from consumers.telling import ways_of
from consumers.worker import Worker
from shadow.candidates import Model

_log = logging.getLogger("vedette.server")

# A batch is finished before the process ends: with every model on two cores this many calls take
# some seconds.
_BATCH = 250
_LOOK_S = 0.2  # whether it is to end while models are loaded


class Embedded:
    """Scores what the inbox holds until closed, from when the scorers are loaded.

    `models` stand for the candidates in the place of those that the configuration says.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        shown: tuple[Tally, Health],
        panel: Future[Panel],
        models: Mapping[str, Model] | None = None,
    ) -> None:
        self._config, self._store, self._shown = config, store, shown
        self._panel, self._models = panel, models
        self._worker: Worker | None = None
        self._stopped = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._thread.start()

    def works(self) -> bool:
        """Whether it has begun: models take longer to load than a loop may stand still."""
        return self._worker is not None

    def ended(self) -> bool:
        """Whether it ended by itself, which it does for what only a person can mend."""
        return not self._thread.is_alive()

    def close(self) -> None:
        """Finish the batch in hand; raises what the thread ended with."""
        self._stopped.set()
        if self._worker is not None:
            self._worker.stop()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with ExitStack() as held:
                self._work(held)
        except BaseException as error:  # an accelerator that is lost ends the process by its code
            self._shown[1].ready(False, str(error))
            self._error = error

    def _work(self, held: ExitStack) -> None:
        config, store, (tally, health) = self._config, self._store, self._shown
        health.ready(False, "models are being loaded")
        while not wait([self._panel], _LOOK_S).done:
            if self._stopped.is_set():
                return
        panel, ways = self._panel.result(), ways_of(config, broker=False)
        panel.engine.on_time = tally.stage
        inbox, ask = Inbox(store, _BATCH), None
        if config.shadow is not None:
            models = open_models(config.shadow) if self._models is None else self._models
            cast = embedded(config.shadow, store, models)
            drive = held.enter_context(closing(cast(inbox, tally, time.time)))
            ask = drive.offer  # a slow candidate must not hold up who scores
        recorder = Recorder(config, store, self._shown, ways, ask=ask)
        held.enter_context(closing(recorder))
        monitor = Monitor(config, store, panel, on_step=recorder.step)
        worker = Worker(config, store, inbox, monitor, recorder, worker_name())
        health.progress()
        self._worker = worker
        if not self._stopped.is_set():
            _log.info("scoring what is taken in")
            worker.run()
