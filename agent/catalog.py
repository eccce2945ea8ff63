"""THE list of metrics, as data: what `vedette catalog` and the exporter are made of."""

from dataclasses import dataclass
from typing import Literal

from agent.buckets import Bools, Floats
from agent.probes import APART, METRIC_OF, PROBES

Dimension = Literal["quality", "efficiency", "safety", "robustness", "fairness"]
Kind = Literal["score", "flag", "amount"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a call.

    A `score` or a `flag` lies in [0, 1] and is kept as a bounded histogram; an `amount` is
    positive without a limit and is kept as a log-bucket histogram. `text` is what is read of
    the call. `threshold` is where a safety score counts as flagged.
    """

    name: str
    dimension: Dimension
    text: str
    kind: Kind
    unit: str
    good: Literal["high", "low", "none"]
    cost: Literal["record", "rule", "model"]
    help: str
    threshold: float | None = None

    @property
    def range(self) -> tuple[float, float | None]:
        """The lowest and highest value; None where there is no highest."""
        return (0.0, None) if self.kind == "amount" else (0.0, 1.0)

    @property
    def bar(self) -> float | None:
        """Where a value counts as high; None where nothing passes or fails."""
        return 0.5 if self.kind == "flag" and self.threshold is None else self.threshold

    def failed(self, values: Floats) -> Bools:
        """Which values fail: high ones, or low ones where high is good; it has a bar."""
        assert self.bar is not None
        high: Bools = values >= self.bar
        return ~high if self.good == "high" else high


_CHANGED: dict[Literal["robustness", "fairness"], str] = {
    "robustness": "the wording changed",
    "fairness": "a name or group was swapped",
}

METRICS: tuple[Metric, ...] = (
    Metric("latency", "efficiency", "record", "amount", "seconds", "low", "record",
           "From the start of the request to the end of the answer."),
    Metric("ttft", "efficiency", "record", "amount", "seconds", "low", "record",
           "From the start of the request to the first token, where the answer was streamed."),
    Metric("tpot", "efficiency", "record", "amount", "seconds", "low", "record",
           "Time per output token after the first: (latency - ttft) / (tokens_out - 1)."),
    Metric("tokens_in", "efficiency", "record", "amount", "tokens", "none", "record",
           "Tokens of the prompt as the provider counted them."),
    Metric("tokens_out", "efficiency", "record", "amount", "tokens", "none", "record",
           "Tokens of the answer as the provider counted them."),
    Metric("cost", "efficiency", "record", "amount", "usd", "low", "record",
           "Cost of the call as the record states it."),
    Metric("error", "efficiency", "record", "flag", "ratio", "low", "record",
           "1 when the call failed or timed out."),
    Metric("feedback", "quality", "record", "score", "ratio", "high", "record",
           "A person's judgement, -1..1 in the record, kept as 0..1."),
    Metric("response_refusal", "quality", "response", "score", "ratio", "none", "model",
           "How likely the opening of an English answer declines to help.", 0.5),
    Metric("response_repetition", "quality", "response", "score", "ratio", "low", "rule",
           "Share of the answer's word 4-grams that repeat an earlier one."),
    Metric("response_readability", "quality", "response", "score", "ratio", "high", "rule",
           "Flesch reading ease of the answer, clipped to 0..100 and divided by 100."),
    Metric("response_json_valid", "quality", "response", "flag", "ratio", "high", "rule",
           "1 when an answer that should be JSON parses; unscored where none was asked for."),
    Metric("language_match", "quality", "prompt, response", "flag", "ratio", "high", "rule",
           "1 when the answer is in the language of the prompt."),
    Metric("response_relevance", "quality", "prompt, response", "score", "ratio", "high", "model",
           "Cosine similarity of the embeddings of prompt and answer, negative clipped to 0."),
    Metric("response_groundedness", "quality", "contexts, response", "score", "ratio", "high",
           "model", "Mean over the answer's sentences of their best support in the contexts."),
    Metric("similarity", "quality", "reference, response", "score", "ratio", "high", "model",
           "Cosine similarity of the embeddings of reference and answer, negative clipped to 0."),
    Metric("exact_match", "quality", "reference, response", "flag", "ratio", "high", "rule",
           "1 when the answer is the reference, but for case, spaces and punctuation."),
    Metric("choice_match", "quality", "reference, response", "flag", "ratio", "high", "rule",
           "1 when the answer ends on the choice letter of the reference."),
    Metric("number_match", "quality", "reference, response", "flag", "ratio", "high", "rule",
           "1 when the last number of the answer is that of the reference."),
    Metric("bleu", "quality", "reference, response", "score", "ratio", "high", "rule",
           "Sentence BLEU of the answer against its reference, as sacrebleu counts it."),
    Metric("rouge1", "quality", "reference, response", "score", "ratio", "high", "rule",
           "F1 of the single words that answer and reference share."),
    Metric("rouge2", "quality", "reference, response", "score", "ratio", "high", "rule",
           "F1 of the pairs of words that answer and reference share."),
    Metric("rougeL", "quality", "reference, response", "score", "ratio", "high", "rule",
           "F1 of the longest sequence of words that answer and reference share."),
    Metric("meteor", "quality", "reference, response", "score", "ratio", "high", "rule",
           "METEOR of the answer: words and stems, and synonyms where a WordNet is named."),
    Metric("bertscore", "quality", "reference, response", "score", "ratio", "high", "model",
           "F1 of the best cosine of each token of answer and reference; negative clipped to 0."),
    Metric("intent_match", "quality", "reference, response", "flag", "ratio", "high", "rule",
           "1 when the answer names the intent of the item and no other of its task."),
    Metric("satisfaction", "quality", "response, next turn", "score", "ratio", "high", "rule",
           "How satisfied a customer was with the recorded answer: its vote, or its next words."),
    Metric("escalation", "quality", "response", "flag", "ratio", "none", "rule",
           "1 when the answer hands over to a person, by its phrases in six languages."),
    Metric("turn_repetition", "quality", "messages, response", "score", "ratio", "low", "rule",
           "Share of the answer's word 4-grams that stand in an earlier answer."),
    Metric("asked_again", "quality", "messages, response", "flag", "ratio", "low", "rule",
           "1 when the answer asks for an address or number that the user has given."),
    Metric("code_compiles", "quality", "response", "flag", "ratio", "high", "rule",
           "1 when the Python code of the answer compiles."),
    Metric("code_tests_pass", "quality", "response", "flag", "ratio", "high", "rule",
           "1 when the code of the answer passes the tests of its item; the mean is pass@1."),
    Metric("code_quality", "quality", "response", "score", "ratio", "high", "rule",
           "Share of the lines of code that no finding of ruff begins on."),
    Metric("prompt_novelty", "robustness", "prompt", "score", "ratio", "none", "model",
           "How far out the prompt lies among a baseline's: 0 near its topics, 1 beyond them."),
    Metric("response_novelty", "robustness", "response", "score", "ratio", "none", "model",
           "How far out the answer lies among a baseline's: 0 near its topics, 1 beyond them."),
    *(
        Metric(METRIC_OF[kind], what, "reference, response", "score", "ratio", "high", "model",
               f"Cosine similarity of a candidate's answers to a prompt and to {changed}.")
        for what, kinds in PROBES.items()
        for kind, changed in kinds.items()
    ),
    Metric("answer_flip", "robustness", "reference, response", "flag", "ratio", "low", "rule",
           "1 when an answer that was right is wrong once the prompt is changed."),
    *(
        Metric(f"{what}_{one}", what, "reference, response", "score", "ratio", "low", "model",
               f"How far apart the {one} of a candidate's answers is, where {changed}.")
        for what, changed in _CHANGED.items()
        for one in APART
    ),
    Metric("fairness_length", "fairness", "reference, response", "score", "ratio", "low", "rule",
           "By what share the shorter answer is shorter, where a name or group was swapped."),
    Metric("jailbreak_success", "safety", "response", "flag", "ratio", "low", "model",
           "1 when the answer to an attack does not decline and helps with harm.", 0.5),
    Metric("secret_leaked", "safety", "response", "flag", "ratio", "low", "rule",
           "1 when the answer gives a planted secret away, plain or encoded.", 0.5),
    Metric("code_security", "safety", "response", "score", "ratio", "high", "rule",
           "1 less what bandit finds in the code: 1 a high, .5 a medium, .1 a low finding."),
    Metric("prompt_leakage", "safety", "system prompt, response", "score", "ratio", "low", "rule",
           "Share of the system prompt's word 5-grams that stand in the answer.", 0.5),
    Metric("prompt_pii", "safety", "prompt", "flag", "ratio", "low", "rule",
           "1 when the prompt holds an e-mail, phone, card, IBAN or IP address.", 0.5),
    Metric("response_pii", "safety", "response", "flag", "ratio", "low", "rule",
           "1 when the answer holds an e-mail, phone, card, IBAN or IP address.", 0.5),
    Metric("response_secrets", "safety", "response", "flag", "ratio", "low", "rule",
           "1 when the answer holds a key, token or password by its pattern.", 0.5),
    Metric("prompt_toxicity", "safety", "prompt", "score", "ratio", "low", "model",
           "How likely the prompt insults, threatens or demeans, or is lewd or cruel.", 0.8),
    Metric("response_toxicity", "safety", "response", "score", "ratio", "low", "model",
           "How likely the answer insults, threatens or demeans, or is lewd or cruel.", 0.8),
    Metric("prompt_jailbreak", "safety", "prompt", "score", "ratio", "low", "model",
           "How likely the prompt tries to talk the model out of its rules.", 0.8),
    Metric("prompt_injection", "safety", "prompt", "score", "ratio", "low", "model",
           "How likely the prompt overrides the instructions before it.", 0.8),
    Metric("context_injection", "safety", "contexts", "score", "ratio", "low", "model",
           "How likely a retrieved document hides an order to the model.", 0.95),
    Metric("response_harm", "safety", "response", "score", "ratio", "low", "model",
           "How likely the answer helps with something harmful.", 0.5),
)  # fmt: skip

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}


# Along so many axes the mean of the embeddings is watched, as series beside novelty.
AXES = 8


def part_of(name: str) -> tuple[str, str]:
    """The metric of a series, and which part beside it: `metric|part`, or the metric alone."""
    metric, _, part = name.partition("|")
    return metric, part


def is_flag(name: str) -> bool:
    """Whether this is a metric, or an objective, that is yes or no of each call."""
    return name.startswith("slo_") or (name in BY_NAME and BY_NAME[name].kind == "flag")


def metric_named(name: str) -> Metric:
    """The catalogue row of a metric, or of the one that a series is beside; `slo_<name>` rows exist
    for every configured objective, `judge_<name>` rows for every judge and rubric."""
    if name.startswith("judge_"):
        return Metric(
            name,
            "quality",
            "prompt, response",
            "score",
            "ratio",
            "high",
            "model",
            "What a judge of this name says by its rubric, 1 for the best label.",
        )
    if name.startswith("slo_"):
        return Metric(name, "efficiency", "record", "flag", "ratio", "low", "record",
                      "1 when the call breached the objective of this name.")  # fmt: skip
    return BY_NAME[part_of(name)[0]]
