"""The main job on real calls: `vedette send`, a broker, two `vedette run`, PostgreSQL, `/metrics`.

Real answers of GPT-3.5 and GPT-4 with their own latency and cost, and human conversations.
"""

import gzip
import json
import math
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import func, select

from agent.catalog import metric_named
from agent.columns import breach_columns, record_columns
from agent.config import Config, load_config
from agent.panes import HOUR_S
from agent.record import Call
from agent.score import load_panel
from agent.store import Store, open_store, reads
from agent.store.tables import calls as call_table
from agent.store.tables import open_panes
from consumers.formats import parse
from deploy.local.child import free_port
from tests.conftest import MakeTopic
from tests.exposition import parse_plain
from tests.live.broker import Broker
from tests.waiting import wait_until

DATA = Path(__file__).parents[3] / "shared" / "data" / "dev"
MAIN = "from consumers.cli import main; main()"
Means = dict[tuple[str, str], float]


def rows(name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        yield from enumerate(map(json.loads, lines))


_LATE_S = 660.0


def drift(name: str) -> Iterator[dict[str, Any]]:
    for i, row in rows(f"drift/{name}"):
        asked = datetime.strptime(row["timestamp"], "%m/%d/%Y, %H:%M:%S").replace(tzinfo=UTC)
        yield {
            "id": f"{name}-{i}",
            # The file's clock has whole seconds: a fraction keeps calls of one second apart.
            "at": asked.timestamp() + i % 1000 / 1000,
            "model": row["model"],
            "service": row["task"],
            "prompt": row["prompt"],
            "response": row["response"],
            "reference": row["ref"],
            "latency_s": float(row["latency_s"]),
            "tokens_out": int(row["response_tokens"]),
            "cost_usd": float(row["cost_usd"]),
        }


def conversations(name: str, answer: str) -> Iterator[dict[str, Any]]:
    for i, row in rows(f"conversations/{name}"):
        yield {
            "id": f"{name}-{i}",
            "at": 1_690_000_000 + i * 0.25,
            "model": row["source"],
            "service": "conversations",
            "prompt": row["prompt"],
            "response": row[answer],
        }


def write(path: Path, every: int) -> Path:
    """Records in the order in which their answers ended, as a service would log them: one of
    `every`, and all that came late."""
    records = [
        *drift("llmdrift_prime"),
        *drift("llmdrift_happynumber"),
        *conversations("diasafety", "response"),
        *conversations("hh_harmless_test", "chosen"),
    ]
    slow = [record.get("latency_s", 0.0) > _LATE_S for record in records]
    records = [one for at, one in enumerate(records) if slow[at] or at % every == 0]
    records.sort(key=lambda record: record["at"] + record.get("latency_s", 0.0))
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def vedette(folder: Path, *words: str, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", MAIN, *words, "-c", str(folder / "vedette.yaml")]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, env=os.environ | environment, stderr=log)


def configured(folder: Path, broker: Broker, topic: str, url: str) -> Config:
    tree = {
        "kafka": {"brokers": [broker.address], "topics": {topic: {}}, "group": topic},
        "store": {"url": url},
        # The slow ones read a share: all of it would take ten minutes on two cores.
        "models": False,
        "scorers": {
            "relevance": {"rate": 0.005},
            "jailbreak": {"rate": 0.005},
            "overlap": {"rate": 0.1},
        },
        "slo": {"fast": {"at_most": 5.0}},
    }
    (folder / "vedette.yaml").write_text(yaml.safe_dump(tree))
    return load_config(folder / "vedette.yaml")


def page(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


AMOUNTS = {
    "vedette_request_latency_seconds": "latency",
    "vedette_request_output_tokens": "tokens_out",
}


def scraped(ports: list[int]) -> tuple[Means, float]:
    """Means by (model, metric) from the pages of all workers, and the calls that they counted."""
    sums: dict[tuple[str, str], float] = defaultdict(float)
    counts: dict[tuple[str, str], float] = defaultdict(float)
    total = 0.0
    for port in ports:
        for family in parse_plain(page(port, "/metrics")[1]):
            for name, labels, number, *_ in family.samples:
                metric = labels.get("metric") or AMOUNTS.get(family.name)
                key = labels.get("model", ""), metric or "cost"
                if name == "vedette_requests_total":
                    total += number
                elif name == "vedette_evaluations_total":
                    if metric_named(labels["metric"]).kind == "score":
                        continue  # its mean is that of vedette_score_ratio
                    one = "pass" if metric_named(labels["metric"]).good == "high" else "fail"
                    sums[key] += number * (labels["label"] == one)
                    counts[key] += number
                elif metric and name.endswith("_sum"):
                    sums[key] += number
                elif metric and name.endswith("_count"):
                    counts[key] += number
    return {key: sums[key] / n for key, n in counts.items() if n}, total


def direct(config: Config, file: Path) -> Means:
    """The same means by one pass over the file, without the road, summed without rounding."""
    calls = [
        item
        for line in file.read_bytes().splitlines()
        for item in parse(line, "native", config, 4e9)
        if isinstance(item, Call)
    ]
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    columns = record_columns(calls)
    for column in (*columns, *breach_columns(columns, config.slo)):
        for call, value in zip(calls, column.values.tolist(), strict=True):
            if not math.isnan(value):
                values[call.model, column.metric].append(value)
    for metric, given in load_panel(config).score(calls).items():
        for call, score in zip(calls, given, strict=True):
            if score.value is not None:
                values[call.model, metric].append(score.value)
    return {key: math.fsum(found) / len(found) for key, found in values.items()}


def stored(store: Store) -> tuple[Means, int]:
    """The means from closed panes and the late tally, and the calls in them."""
    totals: dict[str, Any] = {}
    with store.transaction() as tx:
        closed = reads.pane_rows(tx, 0, 4e9, HOUR_S)
        late = reads.pane_rows(tx, 0, 4e9, HOUR_S, late=True)
        for _, _, group, row in closed + late:
            if group.model in totals:
                totals[group.model].merge(row)
            else:
                totals[group.model] = row
    means = {
        (model, metric): summary.mean()
        for model, row in totals.items()
        for metric, summary in row.summaries.items()
        if summary.n
    }
    return means, sum(row.calls.total() for row in totals.values())


def all_closed(store: Store, n: int) -> bool:
    """Whether all calls are stored and no pane is open, told without reading any."""
    with store.transaction() as tx:
        rows = tx.scalar(select(func.count()).select_from(call_table))
        return rows == n and not tx.scalar(select(func.count()).select_from(open_panes))


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for worker in running:
        worker.terminate()
    assert [worker.wait(30) for worker in running] == [0] * len(running)


@pytest.mark.skipif(not DATA.exists(), reason="the shared data sets are not beside the checkout")
@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.prove)])
@pytest.mark.timeout(600)
def test_every_real_call_has_one_row_and_the_means_are_exact(
    broker: Broker, topic: MakeTopic, postgres_url: str, tmp_path: Path,
    workers: list[subprocess.Popen[bytes]], every: int,
) -> None:  # fmt: skip
    file = write(tmp_path / "calls.jsonl", every)
    n = len(file.read_bytes().splitlines())
    config = configured(tmp_path, broker, topic(partitions=4), postgres_url)
    ports = [free_port(), free_port()]
    assert vedette(tmp_path, "send", str(file)).wait(240) == 0
    workers += [vedette(tmp_path, "run", VEDETTE_EXPORTER__PORT=str(port)) for port in ports]
    expected = direct(config, file)
    with closing(open_store(postgres_url)) as store:
        wait_until(lambda: all_closed(store, n) and scraped(ports)[1] >= n, 300)
        with store.transaction() as tx:
            ledger = reads.ledger(tx)
            assert tx.scalar(select(func.count()).select_from(call_table)) == n
            origins = Counter(tx.scalars(select(call_table.c.partition)))
        panes, counted = stored(store)
    assert ledger.sums
    assert (ledger.received, ledger.terms["scored"]) == (n, n)
    assert len(origins) == 4
    # Four of the real calls took longer than the time after which one is late.
    assert ledger.counts["late"] == 4
    assert counted == n
    assert [page(port, "/readyz")[0] for port in ports] == [200, 200]
    compare(panes, expected)
    shown, total = scraped(ports)
    for stage in ("tokenise", "queue", "compute"):
        assert any(f'stage="{stage}"' in page(port, "/metrics")[1] for port in ports)
    assert total == n
    compare(shown, {key: mean for key, mean in expected.items() if key in shown})
    assert {metric for _, metric in shown} >= {
        "latency",
        "tokens_out",
        "response_refusal",
        "prompt_jailbreak",
    }


def compare(found: Means, expected: Means) -> None:
    assert found.keys() == expected.keys()
    for (model, metric), mean in found.items():
        # A model's score moves in its last digits with the pack that it ran in.
        tolerance = 1e-6 if metric in ("response_relevance", "prompt_jailbreak") else 1e-9
        assert math.isclose(mean, expected[model, metric], rel_tol=tolerance, abs_tol=tolerance), (
            model,
            metric,
        )
