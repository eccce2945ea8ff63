"""How near an answer is to its prompt in meaning."""

from collections.abc import Mapping, Sequence

from agent.record import Call, Score
from agent.scoring import NO_PROMPT, NO_RESPONSE, TOO_SHORT, Options, bounded, scorer
from agent.scoring.models import load_embedder

# A cosine of 1 may come out a rounding error above it.
_ROUNDING = 1e-5


@scorer("relevance")
class Relevance:
    """Cosine similarity of the embeddings of prompt and answer, negative clipped to 0."""

    name = "relevance"
    metrics: tuple[str, ...] = ("response_relevance",)

    def __init__(self, options: Options) -> None:
        self._encoder, digest = load_embedder(self.name, options)
        self.version = f"1+{digest}"

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        row = [_missing(call) or Score(0.0) for call in calls]
        whole = [at for at, score in enumerate(row) if score.status == "ok"]
        prompts = [calls[at].prompt or "" for at in whole]
        responses = [calls[at].response or "" for at in whole]
        rows = self._encoder.embed(prompts + responses)
        for at, prompt, response in zip(whole, rows[: len(whole)], rows[len(whole) :], strict=True):
            row[at] = _similarity(float(prompt @ response))
        return {"response_relevance": row}


def _missing(call: Call) -> Score | None:
    if call.prompt is None or call.response is None:
        return NO_PROMPT if call.prompt is None else NO_RESPONSE
    return None if call.prompt.strip() and call.response.strip() else TOO_SHORT


def _similarity(cosine: float) -> Score:
    clipped = max(cosine, 0.0) if cosine >= -1 - _ROUNDING else cosine
    return bounded(min(clipped, 1.0) if clipped <= 1 + _ROUNDING else clipped)
