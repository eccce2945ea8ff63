"""A worker process that dies by its own hand: python -m tests.live.crashing CONFIG STEP NTH."""

import os
import signal
import sys
from pathlib import Path

from agent.config import load_config
from agent.monitor import Monitor
from agent.score import Panel
from agent.store import open_store
from consumers.exporter import Health
from consumers.pump import Pump
from consumers.service import watched
from consumers.worker import Worker
from tests.live.killer import Killer
from tests.road import Quiet

# A worker that took all there is in its first second would leave nothing for the next kill.
_PAUSE_S = 0.001


def main(path: str, step: str, nth: int) -> None:
    config = load_config(Path(path))
    store = open_store(config.store.url.get_secret_value())
    left = nth

    health = Health(config.limits.stall_s)

    def die(name: str) -> None:
        nonlocal left
        health.progress()
        left -= name == step
        if left == 0 and name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    monitor = Monitor(config, store, Panel([(Killer(_PAUSE_S), 1.0)]), on_step=die)
    pump = Pump(config)
    worker = Worker(config, store, pump, monitor, Quiet(), f"pid-{os.getpid()}")
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    health.progress()
    with watched(lambda: not health.alive(True), config.limits.stall_s):
        worker.run()
    pump.close()
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
