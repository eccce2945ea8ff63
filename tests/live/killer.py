"""A scorer that kills its process on a marked text, as a segmentation fault would."""

import os
import signal
from collections.abc import Sequence

from agent.record import Call, Score

MARK = "kill the process that reads this"


class Killer:
    """Gives half a point to every other answer."""

    name = "killer"
    version = "1"
    metrics: tuple[str, ...] = ("response_repetition",)

    def score(self, calls: Sequence[Call]) -> dict[str, list[Score]]:
        if any(call.response == MARK for call in calls):
            os.kill(os.getpid(), signal.SIGKILL)
        return {"response_repetition": [Score(0.3) for _ in calls]}
