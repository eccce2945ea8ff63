"""Whether the answer is in the language of the prompt."""

import re
from collections.abc import Mapping, Sequence

from agent.record import Call, Score, unscored
from agent.scoring import NO, NO_PROMPT, NO_RESPONSE, YES, Options, scorer
from agent.scoring.languages import language_of

_TRANSLATE = re.compile(
    r"(?i:translat|\b(?:in|into|to) (?:english|french|german|spanish|italian|portuguese|dutch"
    r"|polish|russian|turkish|arabic|hindi|chinese|japanese|korean|latin)\b)"
)


@scorer("language")
class Language:
    """1 where both languages are the same; unscored where one is unsure or another was asked."""

    name = "language"
    version = "1"
    metrics: tuple[str, ...] = ("language_match",)

    def __init__(self, options: Options) -> None: ...

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        return {"language_match": [_match(call.prompt, call.response) for call in calls]}


def _match(prompt: str | None, response: str | None) -> Score:
    if prompt is None or response is None:
        return NO_PROMPT if prompt is None else NO_RESPONSE
    asked = language_of(prompt)
    if isinstance(asked, Score):
        return asked
    answered = language_of(response)
    if isinstance(answered, Score) or asked == answered:
        return answered if isinstance(answered, Score) else YES
    return unscored("translation") if _TRANSLATE.search(prompt, 0, 2000) else NO
