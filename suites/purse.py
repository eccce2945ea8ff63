"""What a target may still cost: reserved at the worst before a question, settled by its answer."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from agent.record import Answer, Call
from agent.shadows import Candidate, Price
from agent.store.budgets import NOTHING, Amount
from shadow.candidates import microusd, priced, worst_case
from suites.answers import Given
from suites.suite import Cap

# Failures of an endpoint that has taken nothing on; after others it may have answered in full.
_FREE = frozenset({
    "connect", "no_address", "private_address", "redirect", "rate_limited", "refused",
    "server_error", "bad_status",
})  # fmt: skip


class Bounds(NamedTuple):
    """What is left of each bound; None bounds nothing."""

    calls: int | None
    tokens: int | None
    microusd: int | None


def minus(one: Amount, other: Amount) -> Amount:
    """What one is more than the other."""
    return Amount(*(a - b for a, b in zip(one, other, strict=True)))


def bounds_of(cap: Cap) -> Bounds:
    """What a cap leaves of each when nothing is spent."""
    return Bounds(cap.calls, cap.tokens, None if cap.usd is None else int(cap.usd * 1e6))


def share(left: Bounds, targets: int) -> Bounds:
    """What one of so many targets that are still to be asked may take."""
    return Bounds(*(None if one is None else max(one, 0) // targets for one in left))


def less(left: Bounds, taken: Amount) -> Bounds:
    """The bounds once something was taken of them."""
    pairs = zip(left, taken, strict=True)
    return Bounds(*(None if bound is None else bound - part for bound, part in pairs))


def least(*bounds: Bounds) -> Bounds:
    """The narrowest of each bound."""
    known = ([one for one in some if one is not None] for some in zip(*bounds, strict=True))
    return Bounds(*(min(some, default=None) for some in known))


def total(amounts: Iterable[Amount]) -> Amount:
    """All of them together."""
    return Amount(*map(sum, zip(NOTHING, *amounts, strict=True)))


def charge(call: Call, candidate: Candidate, answer: Answer) -> Amount:
    """What a question has cost: by the tokens that the endpoint counted, or else the worst.

    One that was never taken on costs nothing. One whose answer came too late, was lost on its way
    or cannot be read costs the worst: whoever gave it counts it.
    """
    if answer.error in _FREE:
        return Amount(1, 0, 0)
    worst = worst_case(call, candidate)
    tokens, usd = worst.tokens, priced(answer, candidate.price)
    if answer.tokens_in is not None and answer.tokens_out is not None:
        tokens = answer.tokens_in + answer.tokens_out
    return Amount(1, tokens, worst.microusd if usd is None else microusd(usd))


def paid(given: Sequence[Given], price: Price) -> list[Given]:
    """Answers with what each cost by the price of its tokens, where both are known."""
    costs = (priced(one.answer, price) for one in given)
    return [
        one if usd is None else replace(one, answer=replace(one.answer, cost_usd=usd))
        for one, usd in zip(given, costs, strict=True)
    ]


class Purse:
    """The bounds of one target while it is asked."""

    def __init__(self, left: Bounds) -> None:
        self._left = left
        self._held = 0
        self._moved = asyncio.Condition()

    async def reserve(self, need: Amount) -> bool:
        """Wait until the need fits; False where it does not though nothing is under way."""
        async with self._moved:
            while not self._fits(need):
                if not self._held:
                    return False
                await self._moved.wait()
            self._held += 1
            self._left = less(self._left, need)
            return True

    async def settle(self, need: Amount, taken: Amount) -> None:
        """Give back what was reserved, and take what it came to."""
        async with self._moved:
            self._held -= 1
            back = Amount(*(a - b for a, b in zip(taken, need, strict=True)))
            self._left = less(self._left, back)
            self._moved.notify_all()

    def _fits(self, need: Amount) -> bool:
        pairs = zip(self._left, need, strict=True)
        return all(bound is None or part <= bound for bound, part in pairs)
