"""What tests of experiments share: a scorer that reads its score in the answer, and the road."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from abtest.keeping import current_run, lines_of
from abtest.line import Line
from abtest.run import Run
from agent.config import Config, load_config
from agent.record import Call, Score
from agent.score import Panel
from agent.scoring import NO_RESPONSE
from agent.store import Store
from tests.road import InboxRoad, as_bytes, native

START = 1_767_225_600
NOW = START + 1e7


class Told:
    """The score that the answer states."""

    name = "told"
    metrics: tuple[str, ...] = ("response_relevance",)

    def __init__(self, version: str = "1") -> None:
        self.version = version

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        row = [NO_RESPONSE if c.response is None else Score(float(c.response)) for c in calls]
        return {"response_relevance": row}


def told(**experiment: Any) -> Config:
    """A configuration with one experiment `x` in relevance."""
    plain: dict[str, Any] = {
        "arms": {"production": 0.5, "canary": 0.5},
        "primary": "response_relevance",
        "start": START,
        "service": "support",
    }
    slo = {"fast": {"metric": "latency", "at_most": 1.0}}
    # History: panes stay open until the records end, in whatever order they come.
    return load_config(
        segments=("tenant",), slo=slo, experiments={"x": plain | experiment}, models=False,
        inbox={"source": "backfill"},
    )  # fmt: skip


def call(
    number: int, score: float | None, variant: str = "production", **more: Any
) -> dict[str, Any]:
    """A native record of one arm, half a second after the one before; None failed."""
    failed = {"status": "error", "response": None, "latency_s": None}
    return (
        native(number, model=f"m-{variant}", variant=variant, response=f"{score}")
        | {"at": START + number / 2}
        | (failed if score is None else {})
        | more
    )


def split(
    rng: np.random.Generator, n: int, effect: float, share: float = 0.5, **more: Any
) -> list[dict[str, Any]]:
    """Calls of both arms; the candidate's scores are Beta(5, 2) and `effect` more."""
    records = []
    for at in range(n):
        mine = rng.random() < share
        score = float(np.clip(rng.beta(5, 2) + effect * mine, 0, 1))
        records.append(call(at, score, "canary" if mine else "production", **more))
    return records


def travel(
    store: Store,
    config: Config,
    records: Sequence[dict[str, Any]],
    version: str = "1",
    end: bool = True,
) -> InboxRoad:
    """Take records through the whole road; at their `end` panes close and experiments move on."""
    road = InboxRoad(store, config, Panel([(Told(version), 1.0)]))
    road.inbox.append(as_bytes(list(records)))
    road.drain()
    if end:
        road.worker.finish("backfill")
    return road


def read(store: Store, config: Config, name: str = "x") -> list[Line]:
    """The lines of an experiment."""
    with store.transaction() as tx:
        return lines_of(tx, config, name, NOW)


def run_of(store: Store, config: Config, name: str = "x") -> Run:
    """Its newest run."""
    with store.transaction() as tx:
        return current_run(tx, config, name, NOW)


def line(lines: Sequence[Line], metric: str = "response_relevance", **wanted: Any) -> Line:
    """The one line of a metric with these values."""
    found = [
        one
        for one in lines
        if one.metric == metric and all(getattr(one, k) == v for k, v in wanted.items())
    ]
    assert len(found) == 1, [(one.metric, one.role, one.segment) for one in lines]
    return found[0]
