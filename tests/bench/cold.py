"""From the start of a process to its first scored call: `vedette run` on a real broker and
PostgreSQL with a call that waits, and `vedette watch` on a file of one call.

The embedded models are on. Parts are read from outside: the port (imports), the log (models, store
and broker), `/readyz` (partitions), `/metrics` (the first flush).
"""

import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import yaml
from kafka import KafkaAdminClient, KafkaProducer

from deploy.local.child import free_port
from deploy.local.database import Database
from tests.live.broker import Broker
from tests.road import native

ROUNDS = 5
_MAIN = (sys.executable, "-c", "from consumers.cli import main; main()")
_PARTS = ("imports", "models, store, broker", "partitions", "first flush")


def run_once(broker: Broker, database: Database, folder: Path) -> list[float]:
    """Seconds from the start to each part of `vedette run`, and its seconds of processor time."""
    topic, port, url = f"cold-{uuid.uuid4().hex[:8]}", free_port(), database.create_database()
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    admin.close()
    producer = KafkaProducer(bootstrap_servers=broker.address)
    producer.send(topic, orjson.dumps(native(1, at=time.time())))
    producer.close()
    kafka = {"brokers": [broker.address], "topics": {topic: {}}, "group": topic}
    told = {"kafka": kafka, "store": {"url": url}, "exporter": {"port": port}}
    (folder / "v.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    log = folder / "log"
    ways: list[Callable[[], bool]] = [
        lambda: bool(_page(port, "livez")),
        lambda: b"metrics on port" in log.read_bytes(),
        lambda: _page(port, "readyz") == "ok\n",
        lambda: 'outcome="scored"} 1.0' in _page(port, "metrics"),
    ]
    with log.open("wb") as out:
        began = time.perf_counter()
        process = subprocess.Popen([*_MAIN, "run", "-c", "v.yaml"], cwd=folder, stderr=out)
    try:
        reached = [_reached(process, way, began) for way in ways]
    finally:
        process.send_signal(signal.SIGTERM)
        _, _, used = os.wait4(process.pid, 0)
        database.drop_database(url)
    return [*reached, used.ru_utime + used.ru_stime]


def _reached(process: "subprocess.Popen[bytes]", way: Callable[[], bool], began: float) -> float:
    while not way():
        if process.poll() is not None or time.perf_counter() - began > 300:
            raise SystemExit("vedette run did not come up")
        time.sleep(0.02)
    return time.perf_counter() - began


def _page(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return f"{error.code}"
    except OSError:
        return ""


def watch_once(folder: Path) -> float:
    """Seconds that `vedette watch` takes for one call."""
    (folder / "one.jsonl").write_bytes(orjson.dumps(native(1)))
    told = {"store": {"url": f"sqlite:///{folder}/{uuid.uuid4().hex}.db"}}
    (folder / "w.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    command = [*_MAIN, "watch", "one.jsonl", "-c", "w.yaml", "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    took = time.perf_counter() - began
    if orjson.loads(done.stdout)["ledger"]["scored"] != 1:
        raise SystemExit("vedette watch scored nothing")
    return took


def main() -> None:
    """Print medians, with the least and the most."""
    with TemporaryDirectory() as name, Broker() as broker, Database() as database:
        folder = Path(name)
        runs = [run_once(broker, database, folder) for _ in range(ROUNDS)]
        watches = [watch_once(folder) for _ in range(ROUNDS)]
    print(f"{'vedette run, seconds to':32s} {'median':>7s} {'least':>7s} {'most':>7s}")
    for i, part in enumerate((*_PARTS, "its processor time")):
        _show(part, [one[i] for one in runs])
    _show("vedette watch, to its end", watches)


def _show(name: str, values: list[float]) -> None:
    middle = statistics.median(values)
    print(f"{name:32s} {middle:7.2f} {min(values):7.2f} {max(values):7.2f}")


if __name__ == "__main__":
    main()
