"""How fast pages come on a store with 30 days of panes and 1,000,000 calls.

A page is asked for three times: by the first reader of all, when its copy is too old, and when it
is not.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from abtest.keeping import keep_experiments
from agent.catalog import METRICS
from agent.config import Config, load_config
from agent.findings import Finding
from agent.panes import HOUR_S, MINUTE_S, Group
from agent.store import Store, Transaction, open_store, tables
from agent.store.findings import put_findings
from tests.boards import Closed, row_of
from watch.keeping import keep_watch, rules_of, save
from watch.series import Slots
from watch.state import Watch

DAYS, SERVICES, MODELS, CALLS = 30, 5, 4, 1_000_000
# What is older than the configuration keeps would be deleted under the readers' eyes.
END = int(time.time() // HOUR_S * HOUR_S)
START = END - DAYS * 24 * HOUR_S
SCORES = [
    row.name
    for row in METRICS
    if row.kind == "score" and row.good != "none" and row.name != "feedback"
][:10]
FIRST_BYTE_MS, WHOLE_MS = 100, 500
PAGES = (
    *("/", "/?window=1h", "/?window=6h", "/?window=7d", "/?window=30d"),
    *("/?service=chat-0&metric=" + SCORES[0], "/?service=chat-0&metric=latency&window=30d"),
    *("/findings", "/experiments", "/experiments?name=x"),
    *("/calls", "/calls?service=chat-0&metric=" + SCORES[0], "/pipeline", "/evaluations"),
)
GROUPS = [
    Group(f"chat-{service}", f"model-{model}", "production", segment)
    for service in range(SERVICES)
    for model in range(MODELS)
    for segment in ("", "tenant=a", "tenant=b")
]


def config_of(folder: Path, models: bool = False) -> dict[str, object]:
    """As it stands in the file that `vedette serve` reads."""
    arms = {f"model-{n}": {"share": 0.5, "variant": "production", "model": f"model-{n}"}
            for n in (0, 1)}  # fmt: skip
    return {
        "store": {"url": f"sqlite:///{folder}/v.db"}, "service": "chat-0", "models": models,
        "segments": ["tenant"], "drift": {}, "server": {"port": 0},
        "slo": {"fast": {"metric": "latency", "at_most": 3.0, "target": 0.95}},
        "experiments": {"x": {"arms": arms, "primary": SCORES[0], "start": START}},
        "inbox": {"format": "native", "source": "bench"}, "backfill": ["bench"],
    }  # fmt: skip


def fill(store: Store, config: Config) -> None:
    """The panes, calls, watch, findings and runs."""
    rng = np.random.default_rng(3)
    blobs = [_packed(rng, n) for n in range(60)]
    levels = ((HOUR_S, DAYS * 24), (MINUTE_S, 48 * 60), (10, 360))
    with store.transaction() as tx:
        for level_s, count in levels:
            _insert_panes(tx, level_s, count, blobs)
        tx.exec_driver_sql("INSERT INTO closing VALUES ('live', ?)", (float(END),))
        _insert_calls(tx)
    with store.transaction() as tx:
        watch = Watch(Slots(1000))
        watch.reached = float(END - 3 * HOUR_S)
        save(tx, "live", watch, 0, END)
        while keep_watch(tx, config, "live", END) is not None:
            pass
        put_findings(tx, "live", [_finding(n) for n in range(20)], END)
        keep_experiments(tx, config, END)
    assert rules_of(config).budget.slots == 1000


def _packed(rng: np.random.Generator, seed: int) -> bytes:
    values = {name: rng.beta(5, 2, 30).tolist() for name in SCORES}
    values |= {"latency": rng.lognormal(0, 1, 30).tolist(), "error": [0.0] * 29 + [1.0]}
    values |= {"slo_fast": (rng.random(30) < 0.1).astype(float).tolist()}
    packed = row_of(Closed(0, GROUPS[0], values), seed)["summaries"]
    assert isinstance(packed, bytes)
    return packed


def _insert_panes(tx: Transaction, level_s: int, count: int, blobs: Sequence[bytes]) -> None:
    rows = [
        (level_s, END - level_s * (at + 1), "live", *group, 0, 30, blobs[(at + 7 * n) % 60], END)
        for at in range(count)
        for n, group in enumerate(GROUPS)
        if level_s == HOUR_S or not group.segment
    ]
    tx.exec_driver_sql("INSERT INTO panes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def _insert_calls(tx: Transaction) -> None:
    scores = json.dumps(dict.fromkeys(SCORES, 0.5) | {"latency": 1.0, "error": 0.0})
    columns = ", ".join(column.name for column in tables.calls.c)
    tx.exec_driver_sql(
        f"""INSERT INTO calls ({columns})
        WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {CALLS - 1})
        SELECT randomblob(16), 'call-' || i, {END} - i * 2.5, {END} - i * 2.5,
        'chat-' || (i % {SERVICES}), 'model-' || (i % {MODELS}), 'production', '{{}}',
        'u' || (i / 9), NULL, 'production', NULL, 'ok', randomblob(16), 100, randomblob(16), 200,
        '{scores}', 'llm-calls', 0, i, {END} FROM n"""
    )


def _finding(n: int) -> Finding:
    began = END - 2 * HOUR_S - n * 24 * HOUR_S
    name = {"service": f"chat-{n % SERVICES}", "model": "*", "metric": SCORES[n % len(SCORES)]}
    facts = {"side": "below", "onset": began - 1800, "baseline_calls": 5000, "baseline_mean": 0.72,
             "baseline_variance": 0.02, "baseline_lower": 0.715, "baseline_upper": 0.73,
             "baseline_design_effect": 1.2}  # fmt: skip
    return Finding("drift", tuple(name.items()), "firing", "warning", began, END, "It fell.", 500,
                   25.0, 22.0, -0.05, -0.07, -0.03, tuple(facts.items()))  # fmt: skip


@contextmanager
def serving(folder: Path, models: bool = False, **server: object) -> Iterator[tuple[int, int]]:
    """A server in a process of its own; its port and the process."""
    told = config_of(folder, models)
    told["server"] = {"port": 0, **server}
    (folder / "v.json").write_text(json.dumps(told))
    command = [
        str(Path(sys.executable).with_name("vedette")),
        "serve",
        "-c",
        str(folder / "v.json"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = next(line for line in process.stderr if "pages on" in line)
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        yield int(line.rstrip().rstrip("/").rpartition(":")[2]), process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)  # the batch in hand is finished, with every model


def timed(port: int, path: str) -> tuple[float, float, int]:
    """Milliseconds to the first byte and to the last, and the bytes sent."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    began = time.perf_counter()
    connection.request("GET", path, headers={"Accept": "text/html", "Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    first = time.perf_counter() - began
    body = answer.read()
    assert answer.status == 200, (path, answer.status)
    connection.close()
    return 1e3 * first, 1e3 * (time.perf_counter() - began), len(body)


def measure_pages(port: int) -> dict[str, list[tuple[float, float, int]]]:
    """Of each page the first time of all, with an old copy (the median of three), and with a new
    one."""
    time.sleep(6.0)  # what a start does in the background
    found: dict[str, list[tuple[float, float, int]]] = {}
    for path in PAGES:
        first, anew = timed(port, path), list[tuple[float, float, int]]()
        for _ in range(3):
            time.sleep(1.1)
            anew.append(timed(port, path))
        found[path] = [first, sorted(anew)[1], timed(port, path)]
    return found


@contextmanager
def filled() -> Iterator[Path]:
    """A folder with such a store."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        config = load_config(**config_of(folder))  # type: ignore[arg-type]  # as the file has it
        began, store = time.perf_counter(), open_store(f"sqlite:///{folder}/v.db")
        fill(store, config)
        store.close()
        size = os.path.getsize(folder / "v.db") / 1e6
        print(f"store: {size:.0f} MB, made in {time.perf_counter() - began:.0f} s")
        yield folder


def main() -> None:
    """Print the table."""
    with filled() as folder, serving(folder, ingest="off", refresh_s=1) as (port, _):
        found = measure_pages(port)
    print(f"first byte / whole page, ms; bars {FIRST_BYTE_MS} / {WHOLE_MS}")
    for path, rows in found.items():
        cells = "  ".join(f"{first:6.0f} /{whole:6.0f}" for first, whole, _ in rows)
        print(f"{path:52} {cells}  {rows[0][2] / 1e3:6.1f} kB")


if __name__ == "__main__":
    main()
