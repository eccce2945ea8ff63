"""What to do next, each piece with the evidence that it rests on."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from agent.catalog import metric_named
from suites.analysis.ablation import Ablation
from suites.analysis.claims import Claim
from suites.analysis.comparison import Contrast
from suites.analysis.failures import Share
from suites.analysis.pareto import Front
from suites.intervals import Figure

# A type of failure is spoken of when it is surely more frequent.
_OFTEN = 0.05
# Of more items than so many times those of the run nothing is said.
_MANY_TIMES = 20
_AGAINST_FAILURE = {
    "error": "find out why calls fail before anything else: time-outs, limits or the endpoint",
    "refusal": "read the refused prompts, and loosen the system prompt where they are harmless",
    "under-generation": "ask for complete answers, and look for stop words that cut them",
    "over-generation": "ask for short answers, and check the limit of tokens and repetitions",
    "hallucination": "tell it to answer from the documents only, or give it better ones",
    "semantic error": "read the examples below: wrong answers of the right length want examples "
    "in the prompt, or a stronger model",
}
_AGAINST_WEAKNESS = {
    "efficiency": "find out what makes it slow, dear or fail before it takes traffic",
    "safety": "put a filter before its answers, or do not release it",
    "robustness": "try it on more changed prompts: its answers hang on the wording",
    "fairness": "read the swapped pairs: answers hang on a name or a group",
    "quality": "do not release it for this task as it is",
}


@dataclass(frozen=True, slots=True)
class Advice:
    """One piece: what to do, and because of what (with figure, interval and n)."""

    target: str
    text: str
    because: str


def advice_of(
    contrasts: Sequence[Contrast],
    claims: Sequence[Claim],
    shares: Sequence[Share],
    fronts: Sequence[Front],
    ablations: Sequence[Ablation],
    broken: Collection[str] = (),
) -> tuple[Advice, ...]:
    """In the order of weight: which target, then what is dominated, then what to mend.

    The gate is closed for targets that are `broken`: none of them is to be taken.
    """
    return (
        *_choice(contrasts, broken),
        *_dominated(fronts),
        *_fragile(ablations),
        *_weak(claims),
        *_failing(shares),
    )


def said(figure: Figure, unit: str = "") -> str:
    """A figure with its interval and n in words."""
    mark = " s" if unit == "seconds" else " USD" if unit == "usd" else ""
    digits = 4 if unit == "usd" else 3
    ends = f"[{figure.lower:.{digits}f}, {figure.upper:.{digits}f}]"
    return f"{figure.mean:.{digits}f}{mark} {ends}, n = {figure.n:,}"


def _choice(contrasts: Sequence[Contrast], broken: Collection[str]) -> Iterator[Advice]:
    """Which target to take: the leader, if every interval to another one lies above 0."""
    overall = [one for one in contrasts if one.kind == "overall"]
    if not overall:
        return
    leader, near = overall[0].ours, [one for one in overall if one.better != one.ours]
    if not near:
        least = min(overall, key=lambda one: one.difference.lower)
        because = f"overall {said(least.difference)} above {least.theirs}, the nearest"
        text = f"Take {leader}: it is ahead of every other target."
        if leader in broken:
            text = f"{leader} is ahead of every other target; mend first what it broke of the gate."
        yield Advice(leader, text, because)
        return
    names = [leader, *(one.theirs for one in near)]
    together = f"{', '.join(names[:-1])} and {names[-1]}"
    because = "; ".join(f"{leader} less {one.theirs} {said(one.difference)}" for one in near)
    yield Advice(leader, f"{together} cannot be told apart{_more(near)}.", f"overall: {because}")


def _more(near: Sequence[Contrast]) -> str:
    """How many items would tell the leader from the next if the difference is what it seems: the
    half-width of an interval goes with 1 / sqrt(n)."""
    gap = near[0].difference
    if gap.mean <= 0:
        return ""
    needed = gap.n * ((gap.upper - gap.lower) / 2 / gap.mean) ** 2
    if needed > _MANY_TIMES * gap.n:
        return ""
    places = 2 - len(str(int(needed)))  # two digits say how sure that is
    return f" yet: about {round(max(needed, 1.1 * gap.n), places):,.0f} items would tell"


def _dominated(fronts: Sequence[Front]) -> Iterator[Advice]:
    for front in fronts:
        for point in front.points:
            if point.beaten_by:
                other = next(p for p in front.points if p.target == point.beaten_by[0])
                worse = "dearer" if front.amount == "cost" else "slower"
                yield Advice(
                    point.target,
                    f"Drop {point.target}: it is worse and {worse} than {other.target}.",
                    f"quality {said(point.quality)} against {said(other.quality)}; "
                    f"{front.amount} {said(point.amount, front.unit)} against "
                    f"{said(other.amount, front.unit)}",
                )  # fmt: skip


def _fragile(ablations: Sequence[Ablation]) -> Iterator[Advice]:
    for one in ablations:
        if one.sure:
            yield Advice(
                one.order[0],
                f"Decide first whether {one.without} matters: without it {one.order[0]} leads.",
                f"overall {one.scores[0]:.3f} against {one.scores[1]:.3f} without {one.without}, "
                "by an interval that excludes 0",
            )


def _weak(claims: Sequence[Claim]) -> Iterator[Advice]:
    found: dict[tuple[str, str], list[Claim]] = {}
    for claim in claims:
        if claim.sign == "weakness" and claim.against is None:
            found.setdefault((claim.metric, claim.task), []).append(claim)
    for (metric, task), mine in found.items():
        row = metric_named(metric)
        names = ", ".join(claim.target for claim in mine)
        because = "; ".join(f"{claim.target} {said(claim.figure, row.unit)}" for claim in mine)
        text = f"{names} in {task}: {_AGAINST_WEAKNESS[row.dimension]}."
        yield Advice(names, text, f"{metric}: {because}")


def _failing(shares: Sequence[Share]) -> Iterator[Advice]:
    often = [one for one in shares if one.share.lower > _OFTEN]
    for kind in dict.fromkeys(one.kind for one in sorted(often, key=lambda one: -one.share.lower)):
        mine = [one for one in often if one.kind == kind]
        names = ", ".join(one.target for one in mine)
        because = "; ".join(f"{one.target} {said(one.share)}" for one in mine)
        yield Advice(names, f"{names}: {_AGAINST_FAILURE[kind]}.", f"{kind}: {because}")
