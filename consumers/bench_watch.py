"""What the road costs beside its models: a log through `watch`, and its texts by the engine."""

import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import orjson

from agent.config import Config, load_config
from agent.record import Call
from agent.score import Panel, load_panel
from agent.scoring import Reader
from agent.scoring.bench import Line, invented_texts, measure
from agent.scoring.bench_suites import Suite, measure_suites
from agent.store import open_store
from consumers.service import watch_records


@dataclass(frozen=True, slots=True)
class Watched:
    """Distinct texts a second by the engine alone and through the whole road, every scorer on;
    and what a call costs there whose texts were seen before, in microseconds."""

    texts: int
    engine_texts_s: float
    road_texts_s: float
    repeated_us: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What `vedette bench engine` measures: ways to run a model, suites of models, the road."""

    ways: tuple[Line, ...]
    suites: tuple[Suite, ...]
    watch: Watched


def measure_engine() -> Measured:
    """All of it, in one run; raises BadConfig without the libraries to compare with."""
    return Measured(tuple(measure()), tuple(measure_suites()), measure_watch())


def measure_watch(calls: int = 200, seed: int = 11) -> Watched:
    """One log of calls with texts of traffic's lengths, on a database of its own."""
    texts = invented_texts(2 * calls, seed)
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    made = [Call(f"e{i}", 0.0, "m", prompt=p, response=r) for i, (p, r) in enumerate(pairs)]
    engine_s = _engine_s(load_panel(load_config()), made)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'bench.db'}"
        config = load_config(store={"url": url}, backfill=("bench",), inbox={"source": "bench"})
        panel = load_panel(config)
        first_s = _road_s(config, panel, pairs, "a")
        again_s = _road_s(config, panel, pairs, "b")
    return Watched(len(texts), len(texts) / engine_s, len(texts) / first_s, again_s / calls * 1e6)


def _engine_s(panel: Panel, calls: list[Call]) -> float:
    readers = [scorer for scorer in panel.scorers if isinstance(scorer, Reader)]
    began = time.perf_counter()
    panel.engine.prepare([want for reader in readers for want in reader.wants(calls)])
    return time.perf_counter() - began


def _road_s(config: Config, panel: Panel, pairs: list[tuple[str, str]], name: str) -> float:
    now = time.time() - len(pairs)
    records = []
    for i, (prompt, response) in enumerate(pairs):
        at = now + i * 0.01
        call = {"id": f"{name}{i}", "at": at, "model": "m", "prompt": prompt, "response": response}
        records.append((at, orjson.dumps(call)))
    with closing(open_store(config.store.url.get_secret_value())) as store:
        began = time.perf_counter()
        watch_records(config, store, panel, records, lambda _: None)
        return time.perf_counter() - began
