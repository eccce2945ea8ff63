"""Every configured scorer over a batch: a scorer that fails costs its own scores and no more."""

import logging
import math
import threading
from collections.abc import Collection, Sequence
from dataclasses import replace

from agent.catalog import BY_NAME
from agent.config import Config, ScorerOptions
from agent.errors import BadConfig
from agent.intake import share_of
from agent.record import UNASKED, Call, Score, unscored
from agent.scoring import READERS, Options, Reader, Scorer, check_name, load, names
from agent.scoring.engine import Engine
from agent.scoring.folders import expanded
from agent.scoring.int8 import Twins

_log = logging.getLogger("vedette.score")

Scores = dict[str, list[Score]]


class _Turns:
    """A lock that nobody gets twice in a row while another waits for it."""

    def __init__(self) -> None:
        self._next, self._held = threading.Lock(), threading.Lock()

    def __enter__(self) -> None:
        with self._next:
            self._held.acquire()

    def __exit__(self, *_: object) -> None:
        self._held.release()


class Panel:
    """The scorers of a configuration, and the share of calls that each one reads.

    Threads may share it: models and what is remembered of texts serve one batch at a time.
    """

    def __init__(
        self, scorers: Sequence[tuple[Scorer, float]], engine: Engine | None = None
    ) -> None:
        self._scorers = tuple(scorers)
        self.engine, self._turns = engine or Engine(), _Turns()
        self.scorers = tuple(scorer for scorer, _ in scorers)
        self.versions = {scorer.name: scorer.version for scorer, _ in scorers}
        self.metric_versions = {
            metric: f"{scorer.name} {scorer.version}"
            for scorer in self.scorers
            for metric in scorer.metrics
        }

    def score(self, calls: Sequence[Call]) -> Scores:
        """The scores of every metric, in the order of the calls."""
        read = [
            [i for i, call in enumerate(calls) if rate >= 1 or share_of(call) < rate]
            for _, rate in self._scorers
        ]
        return self._score(calls, read, unscored("sampled_out"))

    def answer(self, calls: Sequence[Call], asked: Sequence[Collection[str]]) -> Scores:
        """The scores of what is asked of each call, at whatever rate it is scored otherwise.

        Only scorers that give one of a call's metrics read it; of the others it is `not_asked`.
        """
        read = [
            [i for i, metrics in enumerate(asked) if not set(scorer.metrics).isdisjoint(metrics)]
            for scorer in self.scorers
        ]
        return self._score(calls, read, unscored(UNASKED))

    def _score(self, calls: Sequence[Call], read: Sequence[Sequence[int]], unread: Score) -> Scores:
        scores: Scores = {}
        with self._turns, self.engine.batch():
            self._prepare([[calls[i] for i in chosen] for chosen in read])
            for scorer, chosen in zip(self.scorers, read, strict=True):
                given = _guarded(scorer, [calls[i] for i in chosen])
                for metric in scorer.metrics:
                    row = [unread] * len(calls)
                    for i, score in zip(chosen, given[metric], strict=True):
                        row[i] = score
                    scores[metric] = row
        return scores

    def _prepare(self, calls: Sequence[Sequence[Call]]) -> None:
        try:
            wants = [
                want
                for scorer, mine in zip(self.scorers, calls, strict=True)
                if isinstance(scorer, Reader)
                for want in scorer.wants(mine)
            ]
            self.engine.prepare(wants)
        except Exception as error:  # found again below, where it costs its own call only
            _log.warning("a batch could not be run together: %s", type(error).__name__)


def _guarded(scorer: Scorer, calls: Sequence[Call]) -> Scores:
    if not calls:
        return {metric: [] for metric in scorer.metrics}
    try:
        given = {metric: [_checked(s) for s in row] for metric, row in scorer.score(calls).items()}
        if all(len(given.get(metric, ())) == len(calls) for metric in scorer.metrics):
            return given
        failure = "returned another number of scores"
    except Exception as error:  # a scorer is a plug: whatever it raises must not stop the road
        failure = type(error).__name__
    if len(calls) == 1:
        _log.warning("scorer %s failed on one call: %s", scorer.name, failure)
        return {metric: [unscored("scorer_failed")] for metric in scorer.metrics}
    middle = len(calls) // 2
    first, second = _guarded(scorer, calls[:middle]), _guarded(scorer, calls[middle:])
    return {metric: first[metric] + second[metric] for metric in scorer.metrics}


def _checked(score: Score) -> Score:
    if score.value is None or (math.isfinite(score.value) and 0.0 <= score.value <= 1.0):
        return score
    return Score(None, "invalid", "out_of_range")


def load_panel(config: Config, twins: Twins | None = None) -> Panel:
    """The enabled scorers; a model that is not there is an error before any record is read.

    `twins` stand in for those that the configuration names. Raises BadConfig for an unknown
    scorer, or one whose model is missing.
    """
    for name in config.scorers:
        check_name(name)
    chosen, engine = [], Engine()
    for name in filter(lambda name: enabled(config, name), names()):
        told = config.scorers.get(name)
        options = replace(options_of(config, name, twins), engine=engine)
        chosen.append((load(name, options), told.rate if told else 1.0))
    for scorer, _ in chosen:
        unknown = [metric for metric in scorer.metrics if metric not in BY_NAME]
        if unknown:
            raise BadConfig(f"scorers.{scorer.name}", f"has no catalogue row for {unknown[0]}")
    panel = Panel(chosen, engine)
    for name, objective in config.slo.items():
        metric = objective.metric
        if BY_NAME[metric].cost != "record" and metric not in panel.metric_versions:
            raise BadConfig(f"slo.{name}", f"no scorer that is on gives {metric}")
    return panel


def enabled(config: Config, name: str) -> bool:
    """Whether a scorer is to be loaded."""
    told = config.scorers.get(name)
    return told.enabled if told is not None else config.models or name not in READERS


def options_of(config: Config, name: str, twins: Twins | None = None) -> Options:
    """What the configuration tells a scorer; raises BadConfig for what it cannot be told."""
    told = config.scorers.get(name) or ScorerOptions()
    _check(name, told)
    if twins is None and config.int8 is not None:
        twins = Twins(expanded(config.int8))
    # bertscore reads tokens, whose states int8 moves most.
    if not told.int8 or name == "bertscore":
        twins = None
    if twins is not None and told.device not in ("auto", "cpu"):
        problem = f"{told.device} does not run int8; set scorers.{name}.int8: false"
        raise BadConfig(f"scorers.{name}.device", problem)
    device = told.device if twins is None else "cpu"
    return Options(
        told.model, told.sha256, device, told.baseline, models=config.models, int8=twins,
        bfloat16=config.bfloat16,
    )  # fmt: skip


def _check(name: str, told: ScorerOptions) -> None:
    """Raise BadConfig for what a scorer would not read."""
    if told.baseline is not None and name != "novelty":
        raise BadConfig(f"scorers.{name}.baseline", "only novelty has a baseline")
    if name in READERS or name == "refusal":
        return
    # The model of overlap is a folder of words, which nothing runs.
    ours = () if name == "overlap" else ("model", "sha256")
    for key in (*ours, "device"):
        if getattr(told, key) != ScorerOptions.model_fields[key].default:
            raise BadConfig(f"scorers.{name}.{key}", f"{name} runs no model")
