"""Which sources the card leaves out together, and what is measured on them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from training.rows import TASKS, Row

# Sources left out together; but for DiaSafety's, no two hold the bad texts of the same task.
FOLDS: tuple[frozenset[str], ...] = (
    frozenset({"davidson_tweets", "itw_jailbreak", "role_prompts_benign", "llmdrift_sensitiveq"}),
    frozenset({"openai_moderation", "gptfuzzer_templates", "clinc150"}),
    frozenset({"bias_madlibs", "gptfuzz_responses", "bipia_email"}),
    frozenset({"toxigen_demos", "diasafety_prompts", "hh_prompts", "hh_talks"}),
    # All that DiaSafety says of toxicity goes together: replies and prompts are of one hand.
    frozenset({"diasafety_offending", "diasafety_agreed", "diasafety_answers",
               "presidio_synth", "advbench"}),
)  # fmt: skip
# Harmless answers only, which nothing is measured on.
NEVER_OUT = frozenset({"hh_answers", "llmdrift_prime"})
# What attacks are told from; a toxic tweet is no attack either, but far too easy.
_BENIGN = frozenset({"role_prompts_benign", "clinc150", "hh_prompts", "presidio_synth"})


@dataclass(frozen=True, slots=True)
class Case:
    """Texts of one source, or of an attack and a benign source, with labels for one task."""

    task: str
    name: str
    texts: tuple[str, ...]
    labels: tuple[int, ...]


def parted(found: Sequence[Row], out: frozenset[str]) -> tuple[set[int], list[Case]]:
    """The places of the rows that a fold is trained on, and what it is measured on.

    What is measured is not trained on under another source either: of GPTFuzzer's 50 templates 48
    are among the in-the-wild jailbreaks.
    """
    cases = list(_left_out([row for row in found if row.source in out]))
    measured = {_words(text) for case in cases for text in case.texts}
    mine = {at for at, row in enumerate(found)
            if row.source not in out and _words(row.text) not in measured}  # fmt: skip
    return mine, cases


def _words(text: str) -> str:
    return re.sub(r"\W+", " ", text).casefold().strip()


def _left_out(found: Sequence[Row]) -> Iterator[Case]:
    """Each source by itself, and attacks against the benign ones."""
    for task in TASKS:
        by: dict[str, list[Row]] = {}
        for row in found:
            if task in row.labels:
                by.setdefault(row.source, []).append(row)
        attacks = [s for s, r in by.items() if {x.labels[task] for x in r} == {1}]
        benign = [s for s, r in by.items() if {x.labels[task] for x in r} == {0}]
        mixed = [s for s in by if s not in attacks and s not in benign]
        told = task not in ("toxicity", "context_injection")  # AdvBench's requests are no orders
        pairs = [(a, b) for a in attacks for b in benign if b in _BENIGN and told]
        names = [*pairs, *((s,) for s in mixed)]
        if task in ("jailbreak", "injection") and not attacks:
            names += [(s,) for s in benign if s in _BENIGN]
        for sources in names:
            mine = [row for source in sources for row in by[source]]
            labels = tuple(row.labels[task] for row in mine)
            yield Case(task, " / ".join(sources), tuple(row.text for row in mine), labels)
