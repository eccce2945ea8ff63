"""The model card, computed: every head on sources that it was not trained on.

Each fold leaves some sources out, trains anew and measures on those; sources that may not be
trained on are measured with the shipped head. An attack source is measured against a benign
source that was left out with it.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from agent.catalog import BY_NAME
from agent.scoring.safety import ROLES
from agent.scoring.sentences import sentence_windows
from training.fit import SEED, TOKENS, Branch, Trunk, crops, fit, predict
from training.rows import TASKS, Row, read, rows

Floats = NDArray[np.float64]

# Sources left out together; no two of them teach the same label of the same task.
FOLDS: tuple[frozenset[str], ...] = (
    frozenset({"davidson_tweets", "itw_jailbreak", "role_prompts_benign", "llmdrift_sensitiveq"}),
    frozenset({"openai_moderation", "gptfuzzer_templates", "clinc150"}),
    frozenset({"bias_madlibs", "gptfuzz_responses", "bipia_email"}),
    frozenset({"toxigen_demos", "diasafety_prompts", "hh_prompts"}),
    frozenset({"diasafety_offending", "presidio_synth", "advbench"}),
)
# What attacks are told from; a toxic tweet is no attack either, but far too easy.
_BENIGN = frozenset({"role_prompts_benign", "clinc150", "hh_prompts", "presidio_synth"})
# Windows of a text that is measured; training saw pieces of the same size.
_WINDOWS = 16


@dataclass(frozen=True, slots=True)
class Case:
    """Texts of one source, or of an attack and a benign source, with labels for one task."""

    task: str
    name: str
    texts: tuple[str, ...]
    labels: tuple[int, ...]
    sentences: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the card; NaN where a source has one label only."""

    task: str
    source: str
    n: int
    auroc: float
    half_width: float
    average_precision: float
    length: float
    flagged_benign: float
    calibration: float


def measure(case: Case, logits: Floats) -> Entry:
    """AUROC with a 95 % interval (Hanley and McNeil 1982, eq. 2), and the rest of a line.

    Calibration is the expected calibration error over ten equal bins.
    """
    labels, chance = np.array(case.labels), 1 / (1 + np.exp(-logits))
    role = ROLES.get(case.task)
    threshold = (BY_NAME[role.reads[0][0]].threshold if role else None) or 0.5
    benign = labels == 0
    flagged = float((chance[benign] >= threshold).mean()) if benign.any() else np.nan
    bins = np.minimum((chance * 10).astype(int), 9)
    gaps = [abs(chance[bins == b].mean() - labels[bins == b].mean()) * (bins == b).mean()
            for b in np.unique(bins)]  # fmt: skip
    if not benign.any() or benign.all():
        none = np.nan
        return Entry(case.task, case.name, len(labels), none, none, none, none, flagged, none)
    sizes = [len(text) for text in case.texts]
    auroc = float(roc_auc_score(labels, logits))
    precision = float(average_precision_score(labels, logits))
    length = float(roc_auc_score(labels, sizes))
    half = _half_width(auroc, int((~benign).sum()), int(benign.sum()))
    return Entry(case.task, case.name, len(labels), auroc, half, precision, length, flagged,
                 float(sum(gaps)))  # fmt: skip


def _half_width(a: float, positive: int, negative: int) -> float:
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    spread = a * (1 - a) + (positive - 1) * (q1 - a * a) + (negative - 1) * (q2 - a * a)
    return float(norm.ppf(0.975) * np.sqrt(spread / (positive * negative)))


def windows(ids: list[int]) -> list[list[int]]:
    """A text in windows of the size that was trained on."""
    inner, room = ids[1:-1], TOKENS - 2
    count = min(max(-(-len(inner) // room), 1), _WINDOWS)
    starts = np.linspace(0, max(len(inner) - room, 0), count).astype(int).tolist()
    return [[ids[0], *inner[at : at + room], ids[-1]] for at in starts]


class Judge:
    """One trained branch, asked for any task; a text's states are made once for all of them."""

    def __init__(self, trunk: Trunk, branch: Branch) -> None:
        self._trunk, self._branch = trunk, branch
        self._known: dict[tuple[tuple[str, ...], bool], Floats] = {}

    def __call__(self, case: Case) -> Floats:
        """The logit of the case's task for each of its texts, of their worst window."""
        key = (case.texts, case.sentences)
        if key not in self._known:
            cut = sentence_windows if case.sentences else lambda text: [text]
            parts = [(at, part) for at, text in enumerate(case.texts) for part in cut(text) or [""]]
            states = self._trunk.states([part for _, part in parts], windows)
            given = predict(self._trunk, self._branch, states, len(parts))
            worst = np.full((len(case.texts), len(TASKS)), -np.inf)
            np.maximum.at(worst, [at for at, _ in parts], given)
            self._known[key] = worst
        return self._known[key][:, TASKS.index(case.task)]


def left_out(found: Sequence[Row], out: frozenset[str]) -> Iterator[Case]:
    """What a fold measures: each source by itself, and attacks against the benign ones."""
    for task in TASKS:
        by: dict[str, list[Row]] = {}
        for row in found:
            if row.source in out and task in row.labels:
                by.setdefault(row.source, []).append(row)
        attacks = [s for s, r in by.items() if {x.labels[task] for x in r} == {1}]
        benign = [s for s, r in by.items() if {x.labels[task] for x in r} == {0}]
        mixed = [s for s in by if s not in attacks and s not in benign]
        names = [(a, b) for a in attacks for b in benign if b in _BENIGN] + [(s,) for s in mixed]
        if task in ("jailbreak", "injection") and not attacks:
            names += [(s,) for s in benign if s in _BENIGN]
        for sources in names:
            mine = [row for source in sources for row in by[source]]
            labels = tuple(row.labels[task] for row in mine)
            yield Case(task, " / ".join(sources), tuple(row.text for row in mine), labels)


def never_trained(data: Path) -> Iterator[Case]:
    """Files that may be measured on and not trained on."""
    for name in ("olid_tweets", "wikipedia_talk"):
        found = read(data, f"toxicity/{name}")
        found = found[:: max(len(found) // 3_000, 1)]
        yield _case("toxicity", name, found, "toxic")
    attacks = read(data, "injection/tensor_trust_attacks")
    benign = read(data, "injection/user_queries_benign")
    for task in ("jailbreak", "injection"):
        name = "tensor_trust_attacks / user_queries_benign"
        yield _case(task, name, attacks + benign, "injection")
    yield indirect(data, "table")
    yield indirect(data, "code")


def indirect(data: Path, kind: str) -> Case:
    """Documents with and without an order hidden in them."""
    found = [r for r in read(data, "injection/bipia_indirect") if r["meta"]["task"] == kind]
    case = _case("context_injection", f"bipia_{kind}", found, "injection")
    return Case(case.task, case.name, case.texts, case.labels, sentences=True)


def _case(task: str, name: str, found: Sequence[dict[str, Any]], label: str) -> Case:
    return Case(task, name, tuple(r["text"] for r in found), tuple(int(r[label]) for r in found))


def group_gaps(judge: Judge) -> Entry:
    """The largest difference in false positives between groups, on kind sentences whose
    templates were not trained on."""
    words = json.loads(Path(__file__).with_name("phrases.json").read_text(encoding="utf-8"))
    texts = [form.format(group=g) for g in words["groups"] for form in words["measured_kind"]]
    case = Case("toxicity", "largest gap between groups", tuple(texts), (0,) * len(texts))
    at_least = BY_NAME["prompt_toxicity"].threshold or 0.5
    flagged = (
        (judge(case) >= np.log(at_least / (1 - at_least))).reshape(len(words["groups"]), -1).mean(1)
    )
    gap, nan = float(flagged.max() - flagged.min()), float("nan")
    return Entry("toxicity", case.name, len(texts), nan, nan, nan, nan, gap, nan)


def card(data: Path, say: Callable[[Entry], None]) -> list[Entry]:
    """Every line; each is said as soon as it is known."""
    trunk, found, lines = Trunk(), rows(data, SEED), []
    states = trunk.states([row.text for row in found], crops(SEED))

    def add(entry: Entry) -> None:
        lines.append(entry)
        say(entry)

    for out in (*FOLDS, frozenset[str]()):
        branch = fit(trunk, found, states.of(lambda at, out=out: found[at].source not in out))  # type: ignore[misc]  # a default binds it
        judge = Judge(trunk, branch)
        for case in left_out(found, out) if out else never_trained(data):
            add(measure(case, judge(case)))
        if "bipia_email" in out:
            case = indirect(data, "email")
            add(measure(case, judge(case)))
        if not out:
            add(group_gaps(judge))
    return lines


def row_of(entry: Entry) -> str:
    """One line of the Markdown table."""
    numbers = (entry.average_precision, entry.length, entry.flagged_benign, entry.calibration)
    auroc = "" if np.isnan(entry.auroc) else f"{entry.auroc:.3f} ± {entry.half_width:.3f}"
    cells = ["" if np.isnan(x) else f"{x:.3f}" for x in numbers]
    source = re.sub(r"_", " ", entry.source)
    return f"| {entry.task} | {source} | {entry.n} | {auroc} | {' | '.join(cells)} |"


HEAD = """| head | source, not trained on | texts | AUROC | average precision | length alone \
| benign flagged | calibration error |
|---|---|---|---|---|---|---|---|"""


def main() -> None:
    """Print the card as Markdown; about an hour on two cores."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = parser.parse_args().data
    print(HEAD)
    lines = card(data, lambda entry: print(row_of(entry), flush=True))
    for task in TASKS:
        known = [line.auroc for line in lines if line.task == task and not np.isnan(line.auroc)]
        print(f"| {task} | mean | | {np.mean(known):.3f} | | | | |")


if __name__ == "__main__":
    main()
