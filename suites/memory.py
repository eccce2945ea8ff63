"""The most memory that this process held while something ran."""

import os
import resource
import sys
import threading
from pathlib import Path
from types import ModuleType, TracebackType

_PAUSE_S = 0.02
_STATM = Path("/proc/self/statm")


class Memory:
    """Watches the resident memory of the process, and what PyTorch holds on a GPU, in a `with`.

    Of the whole process: what was held before counts too. Of an endpoint nothing is known.
    """

    def __init__(self) -> None:
        self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> "Memory":
        if (cuda := _cuda()) is not None:
            cuda.reset_peak_memory_stats()
        self._peak = _resident()
        self._thread.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._peak = max(self._peak, _resident())

    def measures(self) -> dict[str, float]:
        """In bytes, by name."""
        found = {"peak_cpu_bytes": float(self._peak)}
        if (cuda := _cuda()) is not None:
            found["peak_gpu_bytes"] = float(cuda.max_memory_allocated())
        return found

    def _watch(self) -> None:
        while not self._done.wait(_PAUSE_S):
            self._peak = max(self._peak, _resident())


def _resident() -> int:
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no Linux: the most since the process began
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def _cuda() -> ModuleType | None:
    """PyTorch's module of a GPU, where both are there; it is not imported for this."""
    if "torch" not in sys.modules:
        return None
    import torch

    return torch.cuda if torch.cuda.is_available() else None
