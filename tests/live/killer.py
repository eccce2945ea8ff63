"""A scorer that kills or hangs its process on a marked text, as a native library can."""

import os
import signal
import time
from collections.abc import Sequence

from agent.record import Call, Score

MARK = "kill the process that reads this"
HANG = "hang the process that reads this"


class Killer:
    """Gives the same score to every answer, in no less than `pause_s` each."""

    name = "killer"
    version = "1"
    metrics: tuple[str, ...] = ("response_repetition",)

    def __init__(self, pause_s: float = 0.0) -> None:
        self._pause_s = pause_s

    def score(self, calls: Sequence[Call]) -> dict[str, list[Score]]:
        if any(call.response == MARK for call in calls):
            os.kill(os.getpid(), signal.SIGKILL)
        if any(call.response == HANG for call in calls):
            time.sleep(3600)
        time.sleep(self._pause_s * len(calls))
        return {"response_repetition": [Score(0.3) for _ in calls]}
