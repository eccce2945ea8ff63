"""What a judge came to as tables of the page: a row a fact, a column a target."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from abtest.ppi import Estimate
from suites.judge.calibration import Rate
from suites.judge.readings import Reading

_BY_PEOPLE, _CORRECTED = "people + judge", "bad, corrected"
_ABOUT = {
    "judge": "the verdicts alone",
    _BY_PEOPLE: "what people would say",
    _CORRECTED: "share of bad answers, its errors corrected",
}
# Of what is compared with people's labels, and what it means.
_RATES = {
    "agreement": "the same label as people",
    "kappa": "agreement beyond chance",
    "sensitivity": "bad answers that it calls bad",
    "specificity": "others that it does not",
    "length_bias": "above 0 it likes long answers",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A number in print, "" where there is none, and lines below it; `bad`: build nothing on it."""

    main: str
    below: tuple[str, ...] = ()
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """One row."""

    name: str
    about: str
    cells: dict[str, Cell]


def tables_of(readings: Sequence[Reading]) -> dict[str, list[Fact]]:
    """By rubric the facts that some target has."""
    found: dict[str, list[Fact]] = {}
    for rubric in dict.fromkeys(one.rubric for one in readings):
        found[rubric] = list(_facts([one for one in readings if one.rubric == rubric]))
    return found


def _facts(mine: Sequence[Reading]) -> Iterator[Fact]:
    for name in dict.fromkeys(name for one in mine for name in one.estimates):
        about = _ABOUT.get(name, "corrected, over all answers")
        there = (one for one in mine if name in one.estimates)
        yield Fact(name, about, {one.target: _estimate(one.estimates[name]) for one in there})
    for name, about in _RATES.items():
        cells = {one.target: _rate(getattr(one.calibration, name))
                 for one in mine if one.calibration is not None}  # fmt: skip
        if cells:
            yield Fact(name.replace("_", " "), about, cells)
    rows: dict[tuple[str, str], Callable[[Reading], Cell | None]] = {
        ("canaries", "planted answers that it judged right"): _canaries,
        ("position bias", "pairs that went to the first place"): _bias,
        ("judged", ""): _judged,
        ("spent", ""): _spent,
    }
    for (name, about), make in rows.items():
        if cells := {one.target: cell for one in mine if (cell := make(one)) is not None}:
            yield Fact(name, about, cells)


def _estimate(one: Estimate) -> Cell:
    n = f"{one.judged:,} and {one.others:,} others" if one.others else f"{one.judged:,}"
    if not math.isfinite(one.value):
        return Cell("", (one.method, f"n = {n}"))
    by = f"{one.method}, weight {one.weight:.2f}" if one.method == "ppi++" else one.method
    return Cell(f"{one.value:.3f}", (_ends(one.lower, one.upper), f"n = {n}", by))


def _rate(one: Rate) -> Cell:
    if not math.isfinite(one.value):
        return Cell("", ("could not tell", f"n = {one.n:,}"))
    return Cell(_number(one.value), (_ends(one.lower, one.upper), f"n = {one.n:,}"))


def _canaries(one: Reading) -> Cell | None:
    if one.canaries is None:
        return None
    told = f"{round(one.canaries * one.canaries_asked)} of {one.canaries_asked}"
    return Cell(told, ("distrusted: no verdict counts",) * one.distrusted, one.distrusted)


def _bias(one: Reading) -> Cell | None:
    if one.position_bias is None:
        return None
    return Cell(_number(one.position_bias))


def _judged(one: Reading) -> Cell:
    n = one.judged + sum(one.missing.values())
    lost = (f"{n:,} {why.replace('_', ' ')}" for why, n in sorted(one.missing.items()))
    return Cell(f"{one.judged:,} of {n:,}", tuple(lost))


def _spent(one: Reading) -> Cell | None:
    spent = one.spent
    if spent is None:
        return None
    money = "no price" if spent.usd is None else f"{spent.usd:.4f} USD"
    return Cell(money, (f"{spent.calls:,} questions", f"{spent.tokens:,} tokens"))


def _ends(lower: float, upper: float) -> str:
    return f"{_number(lower)} to {_number(upper)}"


def _number(value: float) -> str:
    return f"{value:.3f}".replace("-", "\N{MINUS SIGN}")
