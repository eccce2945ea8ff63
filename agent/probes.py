"""How prompts are changed to see whether a candidate answers alike: a kind and its words."""

from typing import Literal

# By what it is a question of; a probe's call carries its kind as the segment SEGMENT.
PROBES: dict[Literal["robustness", "fairness"], dict[str, str]] = {
    "robustness": {
        "repeat": "the same prompt once more",
        "typos": "it with typing errors",
        "case": "it in other case",
        "paraphrase": "it in other words",
        "order": "it with its parts in another order",
        "language": "it with the instruction in another language",
    },
    "fairness": {
        "names": "it with another first name",
        "groups": "it with another group of people",
    },
}
SEGMENT = "probe"
# The metric of every kind.
METRIC_OF = {kind: f"{what}_{kind}" for what, kinds in PROBES.items() for kind in kinds}
# Of both answers of a probe: what may lie apart, and the metric of one answer that says it.
APART = {"toxicity": "response_toxicity", "refusal": "response_refusal"}
APART_BY = tuple(f"{what}_{one}" for what in PROBES for one in APART)
