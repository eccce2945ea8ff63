"""The simulator's own candidate: it says the question back before it answers, and takes longer."""

import numpy as np

from agent.buckets import event_key
from agent.record import Answer, Call
from consumers.simulate import Scenario, fair_answers

# Slower than any model of the simulated service.
_TTFT_S, _TPOT_S = 0.9, 0.035
CHARS_A_TOKEN = 4
# Answers that are remembered: an endless day must not fill the memory.
KNOWN = 20_000


class Understudy:
    """A model of the dispatcher, without a network; the same question gets the same answer."""

    def __init__(self, scenario: Scenario) -> None:
        self._fair = fair_answers(scenario)

    def learn(self, scenario: Scenario) -> None:
        """Answer the calls of another scenario, and of the newest before it."""
        newest = {**self._fair, **fair_answers(scenario)}
        self._fair = dict(list(newest.items())[-KNOWN:])

    async def ask(self, call: Call) -> Answer:
        """Answer a call of the scenario; another one is an error."""
        fair = self._fair.get(call.id)
        if fair is None:
            return Answer("error", error="not_simulated", latency_s=0.0)
        return answered(call.id, call.prompt or "", fair, call.tokens_in, call.tokens_out)

    async def close(self) -> None:
        """Nothing is held."""


def answered(
    name: str, question: str, fair: str, tokens_in: int | None = None, tokens_out: int | None = None
) -> Answer:
    """The understudy's answer to a question whose fair answer is known; `name` draws its pace."""
    text = fair if fair.startswith("{") else f"{question} {fair}"
    seed = int.from_bytes(event_key("understudy", name)[:8])
    pace = np.random.default_rng(seed).lognormal(0, 0.25)
    tokens = tokens_out or max(1, len(text) // CHARS_A_TOKEN)
    ttft_s = round(_TTFT_S * pace, 4)
    return Answer(
        "ok",
        text=text,
        finish="stop",
        latency_s=round(ttft_s + _TPOT_S * pace * (tokens - 1), 4),
        ttft_s=ttft_s,
        tokens_in=tokens_in,
        tokens_out=tokens,
    )
