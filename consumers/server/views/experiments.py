"""What experiments say now: a verdict for each, and one of them as its report has it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from abtest.line import Line
from abtest.pages.rows import verdict_of
from abtest.run import Point
from abtest.wording import broken, conclusion, effect, ends, outlook
from agent.config import Config
from agent.store import Transaction, board
from consumers.server.plots import Values, known
from consumers.server.printing import View
from consumers.server.sheet import Sheet
from consumers.server.stock import Stock

# A small picture has at most so many points.
_POINTS = 48


class Asked(BaseModel):
    """What may be asked of the page."""

    model_config = ConfigDict(extra="ignore")
    name: str = Field(default="", max_length=64, description="One experiment with all its lines.")


@dataclass(frozen=True, slots=True)
class Rail:
    """How a guardrail of a candidate stands."""

    metric: str
    verdict: str
    tone: str
    sign: str
    effect: str
    interval: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What an experiment says of one candidate; the course of its estimate over time."""

    candidate: str
    said: str
    outlook: str
    verdict: str
    tone: str
    effect: str
    interval: str
    n: dict[str, int]
    doubts: int
    over_time: Values
    guardrails: tuple[Rail, ...]
    line: Line


@dataclass(frozen=True, slots=True)
class Summary:
    """One experiment in short; `as_of` (epoch seconds) is through when it is counted."""

    name: str
    design: str
    arms: tuple[str, ...]
    primary: str
    start: float
    end: float | None
    as_of: float | None
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Readout:
    """Every line of one experiment, and the interval of its primary metric against time."""

    name: str
    lines: tuple[Line, ...]
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Experiments:
    """The page."""

    experiments: tuple[Summary, ...]
    readout: Readout | None


def read(stock: Stock, tx: Transaction, asked: Asked) -> Experiments:
    """The page's numbers."""
    config, now = stock.config, stock.clock()
    if asked.name in config.experiments:
        lines, points = stock.memory.readout(tx, config, asked.name, now)
        return Experiments((), Readout(asked.name, tuple(lines), tuple(points)))
    return Experiments(
        tuple(
            _summary(config, name, *stock.memory.readout(tx, config, name, now))
            for name in config.experiments
        ),
        None,
    )


def _summary(config: Config, name: str, lines: list[Line], points: list[Point]) -> Summary:
    held = config.experiments[name]
    answers = (_answer(config, name, one, lines, points) for one in lines if one.role == "primary")
    return Summary(
        name, held.design, tuple(held.arms), held.primary, held.start, held.end,
        max((x.as_of for x in lines if x.as_of is not None), default=None), tuple(answers),
    )  # fmt: skip


def _answer(
    config: Config, name: str, line: Line, lines: list[Line], points: list[Point]
) -> Answer:
    held, arm = config.experiments[name], line.arms[-1]
    mine = [one.estimate for one in points if one.arm == arm]
    thin = mine[:: -(max(1, math.ceil(len(mine) / _POINTS)))][::-1]
    doubts = {why for one in lines if one.role != "check" and one.arms[-1] == arm
              for why in one.warnings}  # fmt: skip
    worse = broken(lines, arm)
    return Answer(
        arm, conclusion(line, held, worse), outlook(line, held, worse), line.verdict,
        verdict_of(line, worse).tone, effect(line), ends(line), line.n, len(doubts),
        known(thin), tuple(_rails(lines, arm)), line,
    )  # fmt: skip


def _rails(lines: list[Line], arm: str) -> Iterator[Rail]:
    for one in lines:
        if one.role == "guardrail" and one.arms[-1] == arm:
            said = verdict_of(one)
            yield Rail(one.metric, said.text, said.tone, said.sign, effect(one), ends(one))


def _lines(found: Experiments) -> Iterator[Line]:
    """All lines of the experiment that is shown, or of each the one that decides."""
    if found.readout is not None:
        yield from found.readout.lines
    for one in found.experiments:
        yield from (answer.line for answer in one.answers)


EXPERIMENTS = View(
    "experiments", "Experiments", "Effects, intervals and verdicts that hold at every look.",
    Asked, Experiments, read, Sheet(Line, _lines), board.stamp,
)  # fmt: skip
