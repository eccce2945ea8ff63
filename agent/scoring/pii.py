"""Whether prompt and answer hold personal data, by the patterns of agent/redact.py."""

from collections.abc import Mapping, Sequence

from agent.record import Call, Score
from agent.redact import PII, contains
from agent.scoring import NO, YES, Options, of_prompts, of_responses, scorer


@scorer("pii")
class Pii:
    """1 where the text holds an e-mail, phone, card, IBAN or IP address."""

    name = "pii"
    version = "1"
    metrics: tuple[str, ...] = ("prompt_pii", "response_pii")

    def __init__(self, options: Options) -> None: ...

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        return {
            "prompt_pii": of_prompts(calls, _flag),
            "response_pii": of_responses(calls, _flag),
        }


def _flag(text: str) -> Score:
    return YES if contains(text, PII) else NO
