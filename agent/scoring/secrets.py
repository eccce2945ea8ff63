"""Whether an answer holds a key, token or password, by the patterns of agent/redact.py."""

from collections.abc import Mapping, Sequence

from agent.record import Call, Score
from agent.redact import SECRETS, contains
from agent.scoring import NO, YES, Options, of_responses, scorer


@scorer("secrets")
class Secrets:
    """1 where the answer holds a secret; placeholders such as `YOUR_API_KEY` are none."""

    name = "secrets"
    version = "1"
    metrics: tuple[str, ...] = ("response_secrets",)

    def __init__(self, options: Options) -> None: ...

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        return {"response_secrets": of_responses(calls, _flag)}


def _flag(text: str) -> Score:
    return YES if contains(text, SECRETS) else NO
