"""The model card, computed: every head on sources that it was not trained on.

Each fold leaves some sources out, trains anew and measures on those; sources that may not be
trained on are measured with the shipped head. An attack source is measured against a benign
source that was left out with it.
"""

import argparse
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from agent.catalog import BY_NAME
from agent.record import Call
from agent.scoring import Options, load
from agent.scoring.models import HEADS
from training.documents import documents, in_sources
from training.fit import BRANCHED, SEED, Trunk, crops, fit, save, shipped
from training.folds import FOLDS, Case, parted
from training.rows import TASKS, phrases, read, rows

Floats = NDArray[np.float64]

# Calls that are scored at once; characters of a text, as training read it.
_SLICE, _CHARS = 512, 20_000

# The metric of each task, and the call that makes it read a text.
_METRICS: dict[str, tuple[str, Callable[[str], Call]]] = {
    "toxicity": ("prompt_toxicity", lambda text: Call("", 0.0, "", prompt=text)),
    "jailbreak": ("prompt_jailbreak", lambda text: Call("", 0.0, "", prompt=text)),
    "injection": ("prompt_injection", lambda text: Call("", 0.0, "", prompt=text)),
    "context_injection": ("context_injection", lambda text: Call("", 0.0, "", contexts=(text,))),
    "refusal": ("response_refusal", lambda text: Call("", 0.0, "", response=text)),
    "harm": ("response_harm", lambda text: Call("", 0.0, "", response=text)),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the card; NaN where a source has one label only."""

    task: str
    source: str
    n: int
    auroc: float = math.nan
    half_width: float = math.nan
    average_precision: float = math.nan
    length: float = math.nan
    recall: float = math.nan
    flagged_benign: float = math.nan
    calibration: float = math.nan


def measure(case: Case, chance: Floats) -> Entry:
    """AUROC with a 95 % interval (Hanley and McNeil 1982, eq. 2), and the rest of a line.

    Recall and false positives are at the shipped threshold; calibration is the expected
    calibration error over ten equal bins.
    """
    labels, hit = np.array(case.labels), chance >= _threshold(case.task)
    benign = labels == 0
    recall, flagged = (float(some.mean()) if some.size else np.nan
                       for some in (hit[~benign], hit[benign]))  # fmt: skip
    bins = np.minimum((chance * 10).astype(int), 9)
    gaps = [abs(chance[bins == b].mean() - labels[bins == b].mean()) * (bins == b).mean()
            for b in np.unique(bins)]  # fmt: skip
    if not benign.any() or benign.all():
        return Entry(case.task, case.name, len(labels), recall=recall, flagged_benign=flagged)
    sizes = [len(text) for text in case.texts]
    auroc = float(roc_auc_score(labels, chance))
    precision = float(average_precision_score(labels, chance))
    length = float(roc_auc_score(labels, sizes))
    half = _half_width(auroc, int((~benign).sum()), int(benign.sum()))
    return Entry(case.task, case.name, len(labels), auroc, half, precision, length, recall,
                 flagged, float(sum(gaps)))  # fmt: skip


def _threshold(task: str) -> float:
    threshold = BY_NAME[_METRICS[task][0]].threshold
    assert threshold is not None
    return threshold


def _half_width(a: float, positive: int, negative: int) -> float:
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    spread = a * (1 - a) + (positive - 1) * (q1 - a * a) + (negative - 1) * (q2 - a * a)
    return float(norm.ppf(0.975) * np.sqrt(spread / (positive * negative)))


class Judge:
    """The shipped scorers with the heads of one file, asked for any task."""

    def __init__(self, heads: Path, device: str) -> None:
        options = Options(heads=heads, device=device)
        self._scorers = {task: load(task, options) for task in TASKS}

    def __call__(self, case: Case) -> Floats:
        """The score of each text; a text that gets none is half as bad as can be."""
        metric, asked = _METRICS[case.task]
        found: list[float] = []
        for at in range(0, len(case.texts), _SLICE):
            calls = [asked(text[:_CHARS]) for text in case.texts[at : at + _SLICE]]
            row = self._scorers[case.task].score(calls)[metric]
            found += [0.5 if score.value is None else score.value for score in row]
        return np.array(found)


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
        texts, labels = in_sources([row["text"] for row in attacks])
        yield Case(task, "tensor_trust_attacks in sources / sources", texts, labels)
    yield from (indirect(data, kind) for kind in ("table", "code"))


def indirect(data: Path, kind: str) -> Case:
    """Documents with and without an order hidden in them: of tables and code none that an e-mail
    has, too, since those are trained on."""
    rows = read(data, "injection/bipia_indirect")
    orders = {r["meta"].get("attack") for r in rows if r["meta"]["task"] == "email"} - {None}
    known = set() if kind == "email" else orders
    found = [r for r in rows if r["meta"]["task"] == kind and r["meta"].get("attack") not in known]
    return _case("context_injection", f"bipia_{kind}_documents", found, "injection")


def _case(task: str, name: str, found: Sequence[dict[str, Any]], label: str) -> Case:
    return Case(task, name, tuple(r["text"] for r in found), tuple(int(r[label]) for r in found))


def long_texts() -> Iterator[Case]:
    """Long texts without an attack, for the heads for attacks of prompts."""
    for name, texts in documents().items():
        for task in ("jailbreak", "injection"):
            yield Case(task, name, texts, (0,) * len(texts))


def groundedness(data: Path, device: str) -> Entry:
    """Right answers about a document against invented ones, by the embedded model."""
    found = read(data, "groundedness/halueval_qa")
    calls = [Call("", 0.0, "", response=r["answer"], contexts=(r["context"],)) for r in found]
    row = load("groundedness", Options(device=device)).score(calls)["response_groundedness"]
    labels, values = [int(r["grounded"]) for r in found], [score.value or 0.0 for score in row]
    auroc = float(roc_auc_score(labels, values))
    half = _half_width(auroc, sum(labels), len(labels) - sum(labels))
    length = float(roc_auc_score(labels, [len(r["answer"]) for r in found]))
    precision = float(average_precision_score(labels, values))
    return Entry("groundedness", "halueval_qa", len(found), auroc, half, precision, length)


def by_group(judge: Callable[[Case], Floats], tasks: Collection[str]) -> dict[str, Floats]:
    """The false positives of each head about each group, on kind sentences whose templates were
    not trained on."""
    words = phrases()
    texts = [form.format(group=g) for g in words["groups"] for form in words["measured_kind"]]
    found = {}
    for task in tasks:
        case = Case(task, "kind sentences about groups", tuple(texts), (0,) * len(texts))
        hit = judge(case) >= _threshold(task)
        found[task] = hit.reshape(len(words["groups"]), -1).mean(1)
    return found


def group_table(found: Mapping[str, Floats]) -> str:
    """One row a group, and the largest gap between two of them, of each head."""
    rows = [[group, *(each[at] for each in found.values())]
            for at, group in enumerate(phrases()["groups"])]  # fmt: skip
    rows.append(["largest gap", *(np.ptp(each) for each in found.values())])
    lines = [["benign flagged, about", *found], ["---"] * (len(found) + 1)]
    lines += [[name, *(f"{x:.3f}" for x in cells)] for name, *cells in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def never_seen(
    judge: Judge, data: Path, device: str, tasks: Collection[str] = TASKS
) -> Iterator[Entry]:
    """What heads that were trained on all rows say of texts that none of them is of."""
    for case in (*never_trained(data), *long_texts()):
        if case.task in tasks:
            yield measure(case, judge(case))
    yield groundedness(data, device)


def card(
    data: Path, files: tuple[Path, Path], linear: bool, device: str, without: str | None = None
) -> Iterator[Entry]:
    """Every line, or those of the linear heads or of the fold `without` a source, as soon as it is
    known.

    Heads are trained on `device` and asked there; those of all rows are left in the first of the
    files, those of a fold in the second.
    """
    trunk, found = Trunk(device), rows(data, SEED)
    states = trunk.states([row.text for row in found], crops(found, SEED))
    branch = shipped(trunk) if linear else None
    tasks = [task for task in TASKS if not (linear and task in BRANCHED)]
    for out in (frozenset[str](), *FOLDS):
        if without is not None and without not in out:
            continue
        mine, cases = parted(found, out)
        file = files[bool(out)]
        heads = fit(trunk, found, states.of(mine.__contains__), branch)
        save(heads, file, len(trunk.encoder.layers))
        judge = Judge(file, device)
        if not out:
            yield from never_seen(judge, data, device, tasks)
        cases += [indirect(data, "email")] * ("bipia_email" in out)
        yield from (measure(case, judge(case)) for case in cases if case.task in tasks)


def row_of(entry: Entry) -> str:
    """One line of the Markdown table."""
    numbers = (entry.average_precision, entry.length, entry.recall, entry.flagged_benign,
               entry.calibration)  # fmt: skip
    auroc = "" if np.isnan(entry.auroc) else f"{entry.auroc:.3f} ± {entry.half_width:.3f}"
    cells = ["" if np.isnan(x) else f"{x:.3f}" for x in numbers]
    source = re.sub(r"_", " ", entry.source)
    return f"| {entry.task} | {source} | {entry.n} | {auroc} | {' | '.join(cells)} |"


HEAD = """| head | source, not trained on | texts | AUROC | average precision | length alone \
| recall | benign flagged | calibration error |
|---|---|---|---|---|---|---|---|---|"""


def main() -> None:
    """Print the card as Markdown; what ships alone takes a quarter of an hour on two cores."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--linear", action="store_true", help="the heads without the branch")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--shipped", action="store_true", help="what ships alone; trains nothing")
    part.add_argument("--groups", action="store_true", help="of what ships the groups; seconds")
    part.add_argument("--without", metavar="SOURCE", choices=sorted(set().union(*FOLDS)),
                      help="the fold that leaves this source out, alone")  # fmt: skip
    parser.add_argument("--device", default="cpu", help="cuda takes minutes, and asks in bfloat16")
    parser.add_argument("--heads", type=Path, help="keeps those of all rows here")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        whole, fold = (Path(folder) / f"{name}.safetensors" for name in ("whole", "fold"))
        whole = HEADS if asked.shipped or asked.groups else asked.heads or whole
        if not asked.groups:
            _print_lines(asked, (whole, fold))
        if asked.without:
            return
        tasks = [task for task in TASKS if not (asked.linear and task in BRANCHED)]
        print(group_table(by_group(Judge(whole, asked.device), tasks)))


def _print_lines(asked: argparse.Namespace, files: tuple[Path, Path]) -> None:
    print(HEAD)
    if asked.shipped:
        entries = never_seen(Judge(HEADS, asked.device), asked.data, asked.device)
    else:
        entries = card(asked.data, files, asked.linear, asked.device, asked.without)
    lines = list[Entry]()
    for entry in entries:
        lines.append(entry)
        print(row_of(entry), flush=True)
    for task in () if asked.shipped or asked.without else TASKS:
        known = [line.auroc for line in lines if line.task == task and not np.isnan(line.auroc)]
        if known:
            print(f"| {task} | mean | | {np.mean(known):.3f} | | | | | |")
    print()


if __name__ == "__main__":
    main()
