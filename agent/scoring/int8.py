"""A model's int8 twin, run by OpenVINO: only with the record of the gate that it passed.

A folder holds a folder for each model: the graph with its weights, and `gate.json`, which says
how far the twin's scores lay from the model's own on texts of its user (agent/gate.py).
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import BadConfig
from agent.scoring import cpu, folders

if TYPE_CHECKING:
    import torch

    from agent.scoring.forward import Pack
    from agent.scoring.models import Model

# Padded tokens of one run (performance.md 1): 1 text at a time is 15 % slower, 4,096 are 4 %.
_TOKENS = 1_024
_DIGEST_CHARS = 12
_INSTRUCTIONS = ("avx2", "avx_vnni", "avx512_vnni", "amx_int8")
GRAPH, _WEIGHTS, _RECORD = "model.xml", "model.bin", "gate.json"


@dataclass(frozen=True, slots=True)
class Figure:
    """How far int8 moved something in `n` texts or calls, and the most that it may."""

    what: str
    n: int
    value: float
    at_most: float

    @property
    def passed(self) -> bool:
        """False too where the value is no number."""
        return self.value <= self.at_most


@dataclass(frozen=True, slots=True)
class Gate:
    """What a twin was measured to be: of which model, made how and of what, and how near to it.

    `graph` is the digest of the twin's files, `calibration` a count of texts, `speed` that of fp32
    on the machine that measured: no bar, because it is the machine's and not the scores'.
    `instructions` are that machine's, by `instructions_here`.
    """

    model: str
    graph: str
    method: str
    calibration: int
    figures: tuple[Figure, ...]
    speed: float = 0.0
    instructions: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether there are figures and all hold."""
        return bool(self.figures) and all(one.passed for one in self.figures)

    def write(self, place: Path) -> None:
        """Beside the graph that it judges."""
        (place / _RECORD).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, place: Path) -> "Gate":
        """Raises OSError, ValueError, KeyError or TypeError for what `write` did not write."""
        told = json.loads((place / _RECORD).read_text(encoding="utf-8"))
        figures = tuple(
            Figure(str(one["what"]), int(one["n"]), float(one["value"]), float(one["at_most"]))
            for one in told["figures"]
        )
        return cls(**{**told, "figures": figures, "instructions": tuple(told["instructions"])})


@dataclass(frozen=True, slots=True)
class Twins:
    """The int8 twins of a folder.

    Unless they are `proven`, as for the gate itself, none needs a record, and a model without a
    twin stays as it is.
    """

    folder: Path
    proven: bool = True

    def of(self, model: "Model", key: str) -> "Model":
        """The model that gives its rows by int8; its key and its digest say so.

        Raises BadConfig, naming `key`, for a twin that is not there, is another model's, or did
        not pass its gate.
        """
        place = self.place(model)
        if self.proven:
            _judge(place, model, key)
        elif not (place / GRAPH).is_file():
            return model
        library(key)
        with folders.translated(key, place):
            digest = digest_of(place)
            rows = _rows(place / GRAPH, digest)
        mark = f"openvino-int8-{digest}"
        return replace(
            model,
            key=f"{model.key}-{mark}",
            digest=f"{model.digest}-{mark}",
            rows=rows,
            device="cpu",
            embedding=None,
        )

    def place(self, model: "Model") -> Path:
        """Where the twin of a model lies."""
        return self.folder / model.key.replace(":", "-")


def library(key: str) -> Any:
    """The module `openvino`; raises BadConfig, naming `key`, where it is not installed."""
    # It tells its maker's analytics of every import, unless this package cannot be had.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is for not there
    try:
        import openvino
    except ImportError:
        raise BadConfig(key, "int8 needs the packages of vedette[openvino]") from None
    return openvino


def digest_of(place: Path) -> str:
    """The digest of a graph and its weights; raises OSError where one is not there."""
    made = hashlib.sha256()
    for name in (GRAPH, _WEIGHTS):
        made.update((place / name).read_bytes())
    return made.hexdigest()[:_DIGEST_CHARS]


def instructions_here() -> tuple[str, ...]:
    """This CPU's instructions for int8: with others the same twin rounds otherwise."""
    flags = cpu.flags()
    return tuple(name for name in _INSTRUCTIONS if name in flags)


def _judge(place: Path, model: "Model", key: str) -> None:
    try:
        gate, graph = Gate.read(place), digest_of(place)
    except FileNotFoundError as error:
        made = "make it with vedette score FILE --int8-to, or set int8: false"
        missing = Path(error.filename).name
        raise BadConfig(key, f"{place} has no {missing} of {model.key}; {made}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise BadConfig(key, f"{place / _RECORD} cannot be read") from None
    if gate.model != model.key:
        raise BadConfig(key, f"{place} belongs to the model {gate.model}, not to {model.key}")
    if gate.graph != graph:
        raise BadConfig(key, f"{place / GRAPH} is not the graph that passed the gate")
    if gate.instructions != instructions_here():
        there, here = (", ".join(x) or "none" for x in (gate.instructions, instructions_here()))
        raise BadConfig(key, f"{place} passed on a CPU with {there}, and this one has {here}")
    if not gate.passed:
        raise BadConfig(key, f"{place} did not pass its gate")


# By digest: many scorers read the same graph, in memory once.
@cache
def _rows(graph: Path, _: str) -> "Callable[[Pack], torch.Tensor]":
    import torch

    told = {
        "INFERENCE_PRECISION_HINT": "f32",  # where it is not int8; by itself it takes bf16
        "PERFORMANCE_HINT": "LATENCY",  # one run after another, each on all threads
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = library("int8").Core().compile_model(str(graph), "CPU", told)
    known = {name for port in compiled.inputs for name in port.get_names()}

    def rows(pack: "Pack") -> "torch.Tensor":
        made = []
        for feed in rectangles(pack):
            wanted = {name: one for name, one in feed.items() if name in known}
            # A request of its own: a shared one may not be run by two threads.
            made.append(compiled.create_infer_request().infer(wanted)[0])
        return torch.from_numpy(np.concatenate(made))

    return rows


def rectangles(pack: "Pack") -> "Iterator[dict[str, NDArray[Any]]]":
    """A pack's texts in order as padded inputs of the graph, each of few tokens."""
    lengths = np.asarray(pack.lengths)
    starts, ids, types = (one.numpy() for one in (pack.starts, pack.ids, pack.types))
    first = 0
    while first < len(lengths):
        longest = np.maximum.accumulate(lengths[first:])
        fits = longest * np.arange(1, len(longest) + 1) <= _TOKENS
        last = first + max(int(fits.sum()), 1)
        real = np.arange(lengths[first:last].max()) < lengths[first:last, None]
        feed: dict[str, NDArray[Any]] = {"real": real}
        for name, flat in (("ids", ids), ("types", types)):
            feed[name] = np.zeros(real.shape, np.int64)
            feed[name][real] = flat[starts[first] : starts[last]]
        yield feed
        first = last
