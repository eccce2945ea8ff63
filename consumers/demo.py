"""The demonstration: a simulated bad day through the whole road in one process, and what it saw."""

import json
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from abtest.keeping import lines_of
from agent.catalog import part_of
from agent.config import Config, load_config
from agent.errors import BadConfig
from agent.experiments import ASIDE
from agent.panes import HOUR_S, Group, Row
from agent.score import load_panel
from agent.store import Store, open_store, reads
from agent.store.budgets import tickets_by_state
from agent.summaries import LogHistogram
from consumers import commands
from consumers.demo_runs import keep_runs
from consumers.findings import newest
from consumers.service import watch_records
from consumers.shadowing import embedded
from consumers.simulate import DAY_S, MODELS, Change, Scenario, bad_day, simulate
from consumers.understudy import Understudy

STORE = Path("vedette-demo.db")
# What shows each kind of change: a metric and how it is read.
_SHOWN = {
    "quality": (("response_refusal", "mean"), ("response_relevance", "mean"), ("feedback", "mean")),
    "jailbreak": (("prompt_jailbreak", "mean"), ("prompt_injection", "mean")),
    "toxicity": (("response_toxicity", "mean"), ("feedback", "mean")),
    "latency": (("latency", "p50"), ("latency", "p95"), ("ttft", "p95")),
}
_QUANTILES = {"p50": 0.5, "p95": 0.95}

# The service draws the model of a call, so two of them are the arms of a split.
EXPERIMENT: dict[str, Any] = {
    "arms": {
        model.name: {"share": model.share / 0.6, "variant": "production", "model": model.name}
        for model in MODELS
        if model.name != "wren-large"
    },
    "primary": "response_relevance",
    "margin": 0.05,
    "guardrails": {"slo_fast": 0.05, "response_toxicity": 0.05},
}

# The simulator's own candidate is asked what a fifth of the calls asked, at no address.
SHADOW: dict[str, Any] = {
    "candidates": {
        "understudy": {
            "url": "https://understudy.invalid/v1",
            "model": "understudy",
            "rate": 0.2,
            "trusted": True,
            "budget": {"calls": 2000},
        }
    }
}
REHEARSAL: dict[str, Any] = {
    "design": "paired",
    "arms": {"production": {}, "shadow:understudy": {}},
    "primary": "response_relevance",
    "margin": 0.02,
    "guardrails": {"slo_fast": 0.05},
}

# A series has some 1,000 calls on this day; half of them tell what is normal.
DRIFT = {"baseline_calls": 500}

PaneRow = tuple[int, str, Group, Row]


def yesterday(now: float) -> float:
    """The last midnight (UTC) that a whole day has passed since."""
    return float(now // DAY_S * DAY_S - DAY_S)


def run_demo(
    calls: int, seed: int, start: float, heard: Callable[[int], None], path: Path = STORE
) -> dict[str, Any]:
    """Take a bad day that began at `start` through the road into a fresh SQLite file."""
    scenario, config = bad_day(start, calls, seed), demo_config(path, start)
    _clear(path)
    records = [(record.arrival, record.value) for record in simulate(scenario)]
    began, panel = time.monotonic(), load_panel(config)
    store = open_store(config.store.url.get_secret_value())
    try:
        assert config.shadow is not None
        cast = embedded(config.shadow, store, {"understudy": Understudy(scenario)})
        watch_records(config, store, panel, records, heard, cast=cast)
        took_s = time.monotonic() - began
        seen = _seen(store, scenario) | {"experiments": _experiments(store, config)}
        seen |= {"findings": newest(store, config, 100)}
        seen |= {"runs": keep_runs(store, config, scenario)}
    finally:
        store.close()
    file = path.with_suffix(".yaml")
    file.write_text(json.dumps(demo_tree(path, start), indent=1) + "\n", encoding="utf-8")
    told = {"store": str(path), "config": str(file)}  # JSON is YAML
    return told | {"records": len(records), "took_s": took_s} | seen


def demo_config(path: Path, start: float, port: int = 8080) -> Config:
    """The configuration of the demo; what the environment says of a store is not heard."""
    told = demo_tree(path, start)
    config = load_config(**told, server={"port": port})
    store = config.store.model_dump() | told["store"]
    return config.model_copy(update={"store": config.store.model_validate(store)})


def demo_tree(path: Path, start: float) -> dict[str, Any]:
    """The configuration as it is written down, for what looks at the store later."""
    return {
        "service": "assistant",
        "store": {"url": f"sqlite:///{path}", "text_days": 30},
        "inbox": {"format": "native", "source": "demo"},
        "backfill": ["demo"],
        # Panes close five minutes behind what was read.
        "panes": {"request_timeout_s": 240},
        "segments": ["tenant", "language"],
        "slo": {"fast": {"metric": "latency", "at_most": 8.0, "target": 0.92}},
        "shadow": SHADOW,
        "experiments": {
            "cheaper": EXPERIMENT | {"start": start},
            "rehearsal": REHEARSAL | {"start": start},
        },
        "drift": DRIFT,
        "fairness": {},
    }


def _experiments(store: Store, config: Config) -> list[dict[str, Any]]:
    now = time.time()
    with store.reading() as tx:
        lines = [line for name in config.experiments for line in lines_of(tx, config, name, now)]
    return [line.as_json() for line in lines if line.role in ("primary", "guardrail")]


def _clear(path: Path) -> None:
    for ending in ("", "-wal", "-shm", ".lock"):
        try:
            path.with_name(path.name + ending).unlink(missing_ok=True)
        except OSError as error:
            raise BadConfig(str(path), f"cannot be replaced ({type(error).__name__})") from None


def _seen(store: Store, scenario: Scenario) -> dict[str, Any]:
    end = scenario.start + 2 * DAY_S
    with store.reading() as tx:
        rows, late = (
            [
                row
                for row in reads.pane_rows(tx, scenario.start, end, HOUR_S, late=late)
                if not row[2].variant.startswith(ASIDE)
            ]
            for late in (False, True)
        )
        asked, ledger = tickets_by_state(tx), commands.account(tx)
    return {
        "day": datetime.fromtimestamp(scenario.start, UTC).date().isoformat(),
        "ledger": ledger,
        "asked": asked,
        "late": sum(row.calls.total() for *_, group, row in late if not group.segment),
        "segments": _segments(rows),
        "models": [_model(name, rows) for name in sorted({group.model for *_, group, _ in rows})],
        "changes": [_before_after(change, rows) for change in scenario.changes],
    }


def _segments(rows: Iterable[PaneRow]) -> dict[str, dict[str, int]]:
    """How many calls each value of each declared segment had."""
    found: dict[str, dict[str, int]] = {}
    for *_, group, row in rows:
        if group.segment:
            key, _, value = group.segment.partition("=")
            counts = found.setdefault(key, {})
            counts[value] = counts.get(value, 0) + row.calls.total()
    return found


def _total(rows: Iterable[PaneRow], model: str, start: float = 0.0, end: float = 4e9) -> Row:
    total = Row()
    for pane, _, group, row in rows:
        if group.model == model and not group.segment and start <= pane < end:
            total.merge(row)
    return total


def _model(name: str, rows: Iterable[PaneRow]) -> dict[str, Any]:
    total = _total(rows, name)
    named = ((m, s) for m, s in sorted(total.summaries.items()) if not part_of(m)[1])
    summaries = {metric: s for metric, s in named if s.n}
    amounts = {m: s for m, s in summaries.items() if isinstance(s, LogHistogram)}
    return {
        "model": name,
        "calls": total.calls.total(),
        "means": {metric: s.mean() for metric, s in summaries.items()},
        "quantiles": {
            metric: {word: s.quantile(q) for word, q in _QUANTILES.items()}
            for metric, s in amounts.items()
        },
    }


def _before_after(change: Change, rows: Iterable[PaneRow]) -> dict[str, Any]:
    before = _total(rows, change.model, end=change.at)
    after = _total(rows, change.model, start=change.at, end=change.until)
    return {
        "kind": change.kind,
        "model": change.model,
        "at": datetime.fromtimestamp(change.at, UTC).strftime("%H:%M"),
        "rows": [
            {
                "metric": metric,
                "statistic": statistic,
                "before": _read(before, metric, statistic),
                "after": _read(after, metric, statistic),
            }
            for metric, statistic in _SHOWN[change.kind]
        ],
    }


def _read(row: Row, metric: str, statistic: str) -> dict[str, Any]:
    summary = row.summary(metric)
    if isinstance(summary, LogHistogram) and statistic in _QUANTILES:
        return {"n": summary.n, "value": summary.quantile(_QUANTILES[statistic])}
    return {"n": summary.n, "value": summary.mean()}
