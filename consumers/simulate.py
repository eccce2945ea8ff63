"""A service's day in fast-forward: calls of several models, tenants and languages as records.

All texts are templates of ours. Token counts are drawn as in the Azure conversation trace of 2023
(medians 1,020 and 129, sigma of the logarithm 0.99 and 0.86) and are larger than the short texts;
the calls of a minute vary as much as there. The trace has one hour: the curve of the day is ours.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

HOUR_S, DAY_S = 3600, 86_400
_GUST = 0.24  # what the calls of a minute vary by beyond chance, as a share of their mean
_RUDE, _ATTACKS = 0.2, 0.4  # shares of a model's calls while such a change lasts
Floats = NDArray[np.float64]
Kind = Literal["call", "feedback", "duplicate", "late", "invalid", "unreadable"]
Fault = Literal["quality", "toxicity", "latency", "jailbreak"]


@dataclass(frozen=True, slots=True)
class Model:
    """A simulated model: its share of the calls, its speed and its price."""

    name: str
    share: float
    ttft_s: float
    tpot_s: float
    usd_per_token: float


@dataclass(frozen=True, slots=True)
class Change:
    """From `at` to `until` (epoch seconds) a model answers worse, rudely, slower or to attacks."""

    kind: Fault
    model: str
    at: float
    until: float = float("inf")


MODELS = (
    Model("wren-large", 0.4, 0.45, 0.022, 4e-6),
    Model("wren-small", 0.35, 0.18, 0.009, 6e-7),
    Model("finch-7b", 0.25, 0.25, 0.014, 3e-7),
)
TENANTS = {"acme": 0.5, "globex": 0.3, "initech": 0.2}
LANGUAGES = {"en": 0.55, "de": 0.2, "fr": 0.15, "es": 0.1}


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens on the day, or the shorter while, that begins at `start` (epoch seconds)."""

    start: float
    calls: int = 6000
    seed: int = 1
    changes: tuple[Change, ...] = ()
    length_s: float = DAY_S
    # Shares of records that are sent twice, come too late, lack a field or are no JSON.
    dirt: Mapping[Kind, float] = field(
        default_factory=lambda: {
            "duplicate": 0.005, "late": 0.003, "invalid": 0.002, "unreadable": 0.002
        }
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """One record on its way in: when it arrives (epoch seconds), its bytes, and what it is."""

    arrival: float
    value: bytes
    kind: Kind


def bad_day(start: float, calls: int = 6000, seed: int = 1) -> Scenario:
    """A day with an attack at ten, and three regressions after it."""
    hour = [start + at * HOUR_S for at in range(24)]
    changes = (
        Change("jailbreak", "wren-large", hour[10], hour[12]),
        Change("quality", "wren-small", hour[14]),
        Change("toxicity", "finch-7b", hour[16]),
        Change("latency", "finch-7b", hour[18]),
    )
    return Scenario(start, calls, seed, changes)


def simulate(scenario: Scenario) -> list[Record]:
    """The day's records in the order of their arrival; the same scenario gives the same bytes."""
    day = _Day(scenario)
    records = [record for i in range(scenario.calls) for record in day.records(i)]
    return sorted(records, key=lambda record: record.arrival)


def fair_answers(scenario: Scenario) -> dict[str, str]:
    """What a good answer to each call of the day says, by the id of the call."""
    day = _Day(scenario)
    for i in range(scenario.calls):
        day.records(i)
    return {day.name(i): text for i, text in day.fair.items()}


class _Day:
    """All draws of a day, made at once; `records(i)` writes the i-th call down."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, n = scenario, scenario.calls
        self._phrases = json.loads(files("consumers").joinpath("phrases.json").read_text("utf-8"))
        rng = np.random.default_rng(scenario.seed)
        self._rng = rng
        self._at = scenario.start + _arrivals(rng, n, scenario.length_s)
        self._model = rng.choice(len(MODELS), n, p=[model.share for model in MODELS])
        self._tenant = rng.choice(list(TENANTS), n, p=list(TENANTS.values()))
        self._language = rng.choice(list(LANGUAGES), n, p=list(LANGUAGES.values()))
        self._tokens_in = np.clip(rng.lognormal(np.log(1020), 0.99, n), 1, 14_050).astype(int)
        self._tokens_out = np.clip(rng.lognormal(np.log(129), 0.86, n), 1, 1000).astype(int)
        self._haste = rng.lognormal(0, 0.25, n).tolist()
        self._luck = rng.random((n, 8)).tolist()
        # A shorter while has users of its own, so that a candidate may be asked for them.
        self._users = "user" if scenario.length_s == DAY_S else f"user-{scenario.seed}"
        self.fair: dict[int, str] = {}

    def name(self, i: int) -> str:
        """The id of the i-th call."""
        return f"sim-{self._scenario.seed}-{i}"

    def records(self, i: int) -> list[Record]:
        call, good = self._call(i)
        arrival = call["at"] + call["latency_s"]
        kind = self._kind(i)
        body = orjson.dumps(call)
        if kind == "unreadable":
            return [Record(arrival, body[: len(body) // 2], kind)]
        if kind == "invalid":
            return [Record(arrival, orjson.dumps(call | {"model": 7}), kind)]
        if kind == "late":
            return [Record(arrival + HOUR_S, body, kind)]
        made = [Record(arrival, body, "call")]
        if kind == "duplicate":
            made.append(Record(arrival + 30 * self._haste[i], body, kind))
        if self._luck[i][1] < 0.02 and call["status"] == "ok":
            made.append(self._feedback(i, call, good, arrival))
        return made

    def _kind(self, i: int) -> Kind:
        above = self._luck[i][0]
        for kind, share in self._scenario.dirt.items():
            if above < share:
                return kind
            above -= share
        return "call"

    def _feedback(self, i: int, call: dict[str, Any], good: bool, arrival: float) -> Record:
        at = arrival + 60 * self._haste[i]
        liked = self._luck[i][2] < (0.9 if good else 0.15)
        body = {"feedback_for": call["id"], "at": at, "value": 1 if liked else -1}
        return Record(at, orjson.dumps(body), "feedback")

    def _call(self, i: int) -> tuple[dict[str, Any], bool]:
        """The native record of a call, and whether its answer is a good one."""
        at, model = float(self._at[i]), MODELS[self._model[i]]
        changed = {
            c.kind for c in self._scenario.changes if c.model == model.name and c.at <= at < c.until
        }
        prompt, response, good = self._texts(i, "quality" in changed)
        if "toxicity" in changed and self._luck[i][6] < _RUDE:
            response, good = self._said("rude", i), False
        if "jailbreak" in changed and self._luck[i][7] < _ATTACKS:
            prompt, response = self._said("jailbreaks", i), str(self._phrases["en"]["refusals"][0])
        user = f"{self._users}-{int(self._luck[i][3] * max(20, self._scenario.calls // 12))}"
        call = {
            "id": self.name(i),
            "at": round(at, 3),
            "service": "assistant",
            "model": model.name,
            "unit": user,
            "session": f"{user}-{int(at // 1800)}",
            "segment": {"tenant": str(self._tenant[i]), "language": str(self._language[i])},
            "prompt": prompt,
            "tokens_in": int(self._tokens_in[i]),
        }
        if self._luck[i][4] < 0.003:
            return call | {"status": "timeout", "latency_s": 60.0, "error": "timeout"}, False
        if self._luck[i][4] < 0.013:
            return call | {"status": "error", "latency_s": 0.2, "error": "rate_limit"}, False
        return call | {"response": response} | self._answered(i, model, "latency" in changed), good

    def _answered(self, i: int, model: Model, slow: bool) -> dict[str, Any]:
        """How long an answer was, how long it took and what it cost."""
        pace, tokens = self._haste[i] * (2.5 if slow else 1), int(self._tokens_out[i])
        ttft_s = model.ttft_s * pace
        return {
            "tokens_out": tokens,
            "ttft_s": round(ttft_s, 4),
            "latency_s": round(ttft_s + model.tpot_s * pace * (tokens - 1), 4),
            "cost_usd": (int(self._tokens_in[i]) + 3 * tokens) * model.usd_per_token,
            "status": "ok",
            "finish": "stop",
        }

    def _texts(self, i: int, worse: bool) -> tuple[Any, str, bool]:
        """Prompt and answer, and whether the answer answers."""
        language, rng = str(self._language[i]), self._rng
        own = self._phrases[language]
        wants_json = rng.random() < 0.08
        pairs = own["json"] if wants_json else own["pairs"]
        chosen = int(rng.integers(len(pairs)))
        slots = self._slots(language)
        prompt, response = (text.format(**slots) for text in pairs[chosen])
        self.fair[i] = response
        good, fate = True, self._luck[i][5]
        if fate < (0.35 if worse else 0.01):
            response, good = str(rng.choice(own["refusals"])), False
        elif worse and fate < 0.6:
            # The answer to another question.
            others = [answer for _, answer in own["pairs"] if answer != pairs[chosen][1]]
            response, good = str(rng.choice(others)).format(**slots), False
        elif wants_json and fate > 0.97:
            response = response.rstrip("}")
        if rng.random() < 0.03:
            prompt += own["contact"].format(**slots)
        if rng.random() < 0.1:
            system = {"role": "system", "content": "You are the assistant of a shop. Be brief."}
            return [system, {"role": "user", "content": prompt}], response, good
        return prompt, response, good

    def _said(self, kind: str, i: int) -> str:
        """What is rude or an attack, in English whatever the language of the call."""
        texts = self._phrases["en"][kind]
        return str(texts[int(self._luck[i][2] * len(texts))])

    def _slots(self, language: str) -> dict[str, Any]:
        rng = self._rng
        words = {k: str(rng.choice(v[language])) for k, v in self._phrases["slots"].items()}
        return words | {
            "n": int(rng.integers(10_000, 99_999)),
            "nn": int(rng.integers(10, 99)),
            "user": f"user{int(rng.integers(1000))}",
        }


def _arrivals(rng: np.random.Generator, n: int, length_s: float = DAY_S) -> Floats:
    """Seconds at which calls start: of a day quiet at night, busiest in the evening, in gusts."""
    if length_s < DAY_S:
        return np.sort(rng.random(n) * length_s)
    minute = np.arange(1440)
    busy = (
        1.05
        - np.cos((minute - 180) / 1440 * 2 * np.pi)
        + 0.8 * np.exp(-(((minute - 1200) / 90) ** 2))
    )
    busy *= rng.gamma(1 / _GUST**2, _GUST**2, len(minute))
    drawn = rng.choice(minute, n, p=busy / busy.sum()) * 60 + rng.random(n) * 60
    return np.sort(drawn)
