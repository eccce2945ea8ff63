"""How near the answer to a changed prompt is to the answer that the unchanged one got."""

from collections.abc import Mapping, Sequence

from agent.experiments import PROBE
from agent.probes import METRIC_OF, SEGMENT
from agent.record import NOT_MEANT, Call, Score, unscored
from agent.scoring import YES, Options, of_references, scorer
from agent.scoring.engine import Want
from agent.scoring.relevance import Nearness

_NONE, _LENGTH = unscored(NOT_MEANT), "fairness_length"


@scorer("consistency")
class Consistency:
    """Cosine similarity of the embeddings of answer and reference, 1 where the texts are equal;
    of counterfactual probes also by which share the shorter answer is shorter.

    Only calls of variants `probe:<candidate>` have these scores: of the others none is missing.
    """

    name = "consistency"
    metrics: tuple[str, ...] = (*METRIC_OF.values(), _LENGTH)

    def __init__(self, options: Options) -> None:
        self._near = Nearness(self.name, "near", "reference", options)
        self.version = f"1+{self._near.version}"

    def wants(self, calls: Sequence[Call]) -> Sequence[Want]:
        """Both answers of every probe."""
        return self._near.wants([call for call in calls if _metric(call)])

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        names = [_metric(call) for call in calls]
        probes = [at for at, name in enumerate(names) if name]
        rows = {metric: [_NONE] * len(calls) for metric in self.metrics}
        mine = [calls[at] for at in probes]
        near, shorter = self._near.score(mine)["near"], of_references(mine, _shorter)
        for at, score, length in zip(probes, near, shorter, strict=True):
            same = calls[at].response == calls[at].reference is not None
            rows[names[at]][at] = YES if same else score
            if names[at].startswith("fairness"):
                rows[_LENGTH][at] = length
        return rows


def _metric(call: Call) -> str:
    kind = dict(call.segment).get(SEGMENT, "") if call.variant.startswith(PROBE) else ""
    return METRIC_OF.get(kind, "")


def _shorter(response: str, reference: str) -> Score:
    sizes = len(response), len(reference)
    return Score(1 - min(sizes) / max(sizes) if any(sizes) else 0.0)
