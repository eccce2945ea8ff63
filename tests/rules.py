"""What tests of the rules share: a configuration that has them all, and a case for every alert."""

import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

from agent.config import Config, load_config
from deploy.local.child import Unavailable
from tests.conftest import absent

START = 1_767_225_600
EVERYTHING: dict[str, Any] = {
    "slo": {
        "fast": {"metric": "latency", "at_most": 8, "target": 0.99},
        "kind": {"metric": "response_toxicity", "target": 0.995, "window_days": 7},
        "works": {"metric": "error", "target": 0.9, "window_days": 3},
        "shown": {"metric": "latency", "at_most": 2},
    },
    "drift": {},
    "shadow": {
        "candidates": {
            "next": {"url": "https://models.example/v1", "model": "m", "budget": {"calls": 9}}
        }
    },
    "experiments": {
        "re.write": {
            "arms": {"production": 0.5, "canary": 0.5},
            "primary": "response_refusal",
            "good": {"response_refusal": "low"},
            "start": START,
        },
        "self": {
            "design": "aa",
            "arms": {"a": 0.5, "b": 0.5},
            "primary": "error",
            "start": START,
        },
        "next": {
            "design": "paired",
            "arms": ["production", "shadow:next"],
            "primary": "error",
            "start": START,
        },
        "back": {
            "design": "observational",
            "arms": ["production", "canary"],
            "primary": "error",
            "start": START,
        },
    },
}


def everything() -> Config:
    """A configuration for which every rule is written."""
    return load_config(**EVERYTHING)


def tool(name: str) -> str:
    """The path of a program."""
    found = shutil.which(name)
    if found is None:
        absent(Unavailable(f"{name} is not on the path (`.ci/run` installs what the tests need)"))
    return found


def said(*words: str) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True, slots=True)
class Case:
    """Series a minute apart (as promtool writes them) under which an alert rings at `rings` and no
    longer at `ends`, both in minutes; it is silent at minute 4. `labels` are those of the alert."""

    series: dict[str, str]
    rings: int
    ends: int
    labels: dict[str, str]


_AT = 'job="v",instance="a"'
_GROUP = f'{_AT},service="shop",model="m",variant="production"'
_EVENTS = {
    f'vedette_experiment_events{{{_AT},experiment="re.write",arm="canary"}}': "0+10x40 400x90",
    f'vedette_experiment_events{{{_AT},experiment="self",arm="a"}}': "0+10x40 400x90",
}
_EXPERIMENT = f'{_AT},experiment="re.write"'


def _evaluations(metric: str, label: str) -> str:
    return f'vedette_evaluations_total{{{_GROUP},metric="{metric}",label="{label}"}}'


def _burn(long: str, short: str, severity: str) -> Case:
    series = {
        _evaluations("slo_fast", "fail"): "0x5 0+60x20 1200x60",
        _evaluations("slo_fast", "pass"): "0+60x25 101500+100000x60",
    }
    labels = {"service": "shop", "objective": "fast", "long": long, "short": short}
    return Case(series, 20, 60, labels | {"severity": severity})


CASES: dict[str, list[Case]] = {
    "VedetteDown": [
        Case({f'vedette_build_info{{{_AT},version="1"}}': "1x10 stale _x10 1x10"}, 18, 24,
             {"severity": "critical", "job": "v"}),
    ],
    "VedetteWorkerDown": [
        Case({f"up{{{_AT}}}": "1x10 0x10 1x10",
              f'vedette_build_info{{{_AT},version="1"}}': "1x10 stale _x10 1x10"}, 18, 24,
             {"severity": "warning", "job": "v", "instance": "a"}),
    ],
    "VedetteNotReady": [
        Case({f"vedette_ready{{{_AT}}}": "1x5 0x10 1x10"}, 13, 18,
             {"severity": "critical", "job": "v", "instance": "a"}),
    ],
    "VedetteNoData": [
        Case({f'vedette_requests_total{{{_GROUP},status="ok"}}': "0+60x30 1800x20 1800+60x20"},
             47, 55, {"severity": "critical", "job": "v", "service": "shop"}),
    ],
    "VedetteNotClosing": [
        Case({f'vedette_closed_through_timestamp_seconds{{{_AT},source="live"}}': "0+60x10 600x40"
              " 3000+60x20", f"vedette_ready{{{_AT}}}": "1x99"}, 33, 52,
             {"severity": "critical", "job": "v", "source": "live"}),
        # All were started again, and none closes since.
        Case({f'vedette_closed_through_timestamp_seconds{{{_AT},source="live"}}': "0+60x10 stale"
              " _x30 2400+60x20", f"vedette_ready{{{_AT}}}": "1x99"}, 33, 45,
             {"severity": "critical", "job": "v", "source": "live"}),
    ],
    "VedetteLag": [
        Case({f'vedette_consumer_lag_records{{{_AT},topic="t",partition="0"}}': "0x5 9999x30 0x9",
              f'vedette_records_total{{{_AT},topic="t",outcome="parsed"}}': "0+60x50"}, 17, 38,
             {"severity": "warning", "job": "v", "topic": "t"}),
        # Nothing was ever read of it.
        Case({f'vedette_consumer_lag_records{{{_AT},topic="t",partition="0"}}': "0x5 1x30 0x9"},
             17, 38, {"severity": "warning", "job": "v", "topic": "t"}),
    ],
    "VedetteLedgerGap": [
        Case({f"vedette_ledger_gap_calls{{{_AT}}}": f"0x5 {gap}x10 0x5"}, 13, 18,
             {"severity": "critical", "job": "v"})
        for gap in (3, -3)
    ],
    "VedetteRecordsLost": [
        Case({f'vedette_records_lost_total{{{_AT},topic="t"}}': "_x5 7x30"}, 7, 23,
             {"severity": "critical", "job": "v", "topic": "t"}),
    ],
    "VedetteDeadLetters": [
        Case({f'vedette_dead_letters_total{{{_AT},reason="empty"}}': "_x5 20x40",
              f'vedette_records_total{{{_AT},topic="t",outcome="parsed"}}': "0+100x50"}, 7, 23,
             {"severity": "warning", "job": "v"}),
    ],
    "VedetteLateCalls": [
        Case({f'vedette_late_calls_total{{{_AT},topic="t"}}': "0x5 50x80",
              f'vedette_calls_total{{{_AT},topic="t",outcome="scored"}}': "0+100x90"}, 7, 70,
             {"severity": "warning", "job": "v", "topic": "t"}),
    ],
    "VedetteStoreFilling": [
        Case({f'vedette_store_filled_ratio{{{_AT},part="inbox"}}': "0.8x5 0.9x20 0.1x50"}, 13, 29,
             {"severity": "warning", "job": "v", "part": "inbox"}),
    ],
    "VedetteLabelOverflow": [
        Case({f'vedette_label_overflow_total{{{_AT},label="model"}}': "_x5 3x90"}, 7, 70,
             {"severity": "warning", "job": "v", "label": "model"}),
    ],
    "VedetteScorerFailure": [
        Case({f'vedette_unscored_total{{{_AT},metric="bleu",reason="scorer_failed"}}': "_x5 20x40"}
             | given, 7, 23, {"severity": "warning", "job": "v", "metric": "bleu"})
        for given in ({f'vedette_score_ratio_count{{{_GROUP},metric="bleu"}}': "0+10x50"}, {})
    ],
    "VedetteToxicity": [
        Case({_evaluations("response_toxicity", "fail"): "0x5 0+10x5 50x60",
              _evaluations("response_toxicity", "pass"): "0+20x70"}, 11, 45,
             {"severity": "critical", "service": "shop"}),
    ],
    "VedetteErrorBudgetBurn": [
        _burn("1h", "5m", "critical"), _burn("6h", "30m", "critical"),
        _burn("1d", "2h", "warning"), _burn("3d", "6h", "warning"),
    ],
    "VedetteDrift": [
        Case({f'vedette_drift_firing{{{_GROUP},segment="",metric="bleu"}}': "0x5 1x5 0x9"}, 7, 12,
             {"severity": "warning", "service": "shop", "model": "m", "variant": "production",
              "metric": "bleu"}),
    ],
    "VedetteExperimentHarm": [
        Case({f'vedette_experiment_verdict{{{_EXPERIMENT},arm="canary",metric="m",verdict="worse"}}':
              "0x5 1x120"} | _EVENTS, 7, 105,
             {"severity": "critical", "experiment": "re.write", "arm": "canary", "metric": "m"}),
    ],
    "VedetteSampleRatio": [
        Case({f'vedette_experiment_invalid{{{_EXPERIMENT},reason="sample_ratio"}}': "0x5 1x120"}
             | _EVENTS, 7, 105,
             {"severity": "warning", "experiment": "re.write", "reason": "sample_ratio"}),
    ],
    "VedetteExperimentInvalid": [
        Case({f'vedette_experiment_invalid{{{_AT},experiment="self",reason="self_test"}}':
              "0x5 1x120"} | _EVENTS, 7, 105,
             {"severity": "warning", "experiment": "self", "reason": "self_test"}),
    ],
    "VedetteShadowBudget": [
        Case({f'vedette_shadow_unasked_total{{{_AT},candidate="next",reason="over_budget"}}':
              "0x5 0+1x40 40x60"}, 38, 70,
             {"severity": "warning", "job": "v", "candidate": "next"}),
    ],
    "VedetteShadowBreaker": [
        Case({f'vedette_shadow_breaker_open_ratio{{{_AT},candidate="next"}}':
              "0x5 1x4 0.5x4 0x20"}, 11, 16,
             {"severity": "warning", "job": "v", "candidate": "next"}),
    ],
}  # fmt: skip
