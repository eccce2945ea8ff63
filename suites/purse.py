"""What a target may still cost: reserved at the worst before a question, settled by its answer."""

import asyncio
from typing import NamedTuple

from agent.record import Answer, Call
from agent.shadows import Candidate
from agent.store.budgets import Amount
from shadow.candidates import microusd, priced, worst_case


class Bounds(NamedTuple):
    """What is left of each bound; None bounds nothing."""

    calls: int | None
    tokens: int | None
    microusd: int | None


def share(left: Bounds, targets: int) -> Bounds:
    """What one of so many targets that are still to be asked may take."""
    return Bounds(*(None if one is None else max(one, 0) // targets for one in left))


def less(left: Bounds, taken: Amount) -> Bounds:
    """The bounds once something was taken of them."""
    pairs = zip(left, taken, strict=True)
    return Bounds(*(None if bound is None else bound - part for bound, part in pairs))


def charge(call: Call, candidate: Candidate, answer: Answer) -> Amount:
    """What a question has cost: by the tokens that the endpoint counted, or else the worst.

    One that was never answered costs nothing, but for a timeout: the endpoint may have gone on.
    """
    if answer.status == "error" and answer.tokens_out is None:
        return Amount(1, 0, 0)
    worst = worst_case(call, candidate)
    tokens, usd = worst.tokens, priced(answer, candidate.price)
    if answer.tokens_in is not None and answer.tokens_out is not None:
        tokens = answer.tokens_in + answer.tokens_out
    return Amount(1, tokens, worst.microusd if usd is None else microusd(usd))


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
