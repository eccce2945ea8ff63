"""What a candidate is to the dispatcher: something that is asked, and what asking may cost."""

import math
from typing import Protocol, runtime_checkable

from agent.record import Answer, Call
from agent.shadows import Candidate, Price
from agent.store.budgets import Amount

# A model's template spends a few tokens on each turn and on the answer's opening.
_TURN_TOKENS = 16
_MOST_TOKENS = 10**9
# Begins the word of an answer that came and was no verdict.
UNREAD = "verdict_"


class Model(Protocol):
    """An endpoint or a local model."""

    async def ask(self, call: Call) -> Answer:
        """Answer the prompt of a call; what goes wrong is an answer too, and nothing is raised."""

    async def close(self) -> None:
        """Let go of connections and memory."""


@runtime_checkable
class Weighs(Protocol):
    """A model that asks more than its call says, and knows what that can cost at most."""

    def worst_case(self, call: Call, candidate: Candidate) -> Amount: ...


def turns_of(call: Call) -> list[dict[str, str]]:
    """The conversation as a chat model takes it."""
    if call.messages:
        return [{"role": turn.role, "content": turn.content} for turn in call.messages]
    return [{"role": "user", "content": call.prompt or ""}]


def answer_tokens(call: Call, default: int) -> int:
    """How many tokens the answer may have: what the request says, or the candidate's default."""
    told = dict(call.parameters)
    for wanted in (told.get("max_completion_tokens"), told.get("max_tokens")):
        if type(wanted) is int and 1 <= wanted <= _MOST_TOKENS:
            return wanted
    return default


def worst_case(call: Call, candidate: Candidate) -> Amount:
    """What a call can cost at most: a token of a byte-level vocabulary is a byte or more."""
    turns = turns_of(call)
    read = sum(len(turn["content"].encode("utf-8", "replace")) for turn in turns)
    read += len(str(call.parameters).encode("utf-8", "replace"))  # a schema is read like a prompt
    tokens_in = read + _TURN_TOKENS * (len(turns) + 1)
    tokens_out = answer_tokens(call, candidate.answer_tokens)
    usd = cost_of(tokens_in, tokens_out, candidate.price)
    return Amount(1, tokens_in + tokens_out, microusd(usd))


def need_of(model: Model, call: Call, candidate: Candidate) -> Amount:
    """What a call can cost at most, as the model itself knows it where it does."""
    weighs = model.worst_case if isinstance(model, Weighs) else worst_case
    return weighs(call, candidate)


def cost_of(tokens_in: int, tokens_out: int, price: Price) -> float:
    """US dollars for so many tokens."""
    return (tokens_in * price.input + tokens_out * price.output) / 1e6


def microusd(usd: float) -> int:
    """Millionths of a dollar, rounded up: what is reserved is never less than what it costs."""
    return min(math.ceil(usd * 1e6), 2**53)


def priced(answer: Answer, price: Price) -> float | None:
    """What an answer cost: by the configured price, or else as the candidate says."""
    if price.free:
        return answer.cost_usd
    if answer.tokens_in is None or answer.tokens_out is None:
        return None
    return cost_of(answer.tokens_in, answer.tokens_out, price)
