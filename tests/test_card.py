"""What the card of the heads leaves out, what it computes of a case, and how its lines are read."""

import json
import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.catalog import BY_NAME
from training.card import Entry, by_group, group_table, measure, row_of
from training.folds import FOLDS, NEVER_OUT, Case, parted
from training.rows import TASKS, Row, published

DATA = Path(__file__).parents[2] / "shared" / "data"
ATTACKS = {"itw_jailbreak", "gptfuzzer_templates"}
BENIGN = {"role_prompts_benign", "clinc150", "hh_prompts", "presidio_synth"}
SOURCES = frozenset({"invented"}).union(*FOLDS, NEVER_OUT)


def rows_of_each(seed: int) -> list[Row]:
    """Four texts of every source: attacks, benign prompts, or toxic ones among others."""
    made = []
    for source in sorted(SOURCES):
        for at in range(4):
            prompt = {"jailbreak": int(source in ATTACKS), "injection": int(source in ATTACKS)}
            labels = prompt if source in ATTACKS | BENIGN else {"toxicity": at % 2}
            made.append(Row(f"{source} says {at}", source, labels))
    random.Random(seed).shuffle(made)
    return made


@pytest.mark.parametrize("out", [frozenset[str](), *FOLDS])
def test_a_fold_trains_on_all_but_its_sources_and_measures_on_them_alone(
    out: frozenset[str],
) -> None:
    found = rows_of_each(seed=4)
    mine, cases = parted(found, out)
    assert Counter(found[at].source for at in mine) == dict.fromkeys(SOURCES - out, 4)
    for case in cases:
        named = set(case.name.split(" / "))
        assert named <= out
        wanted = {row.text: row.labels[case.task] for row in found if row.source in named}
        assert dict(zip(case.texts, case.labels, strict=True)) == wanted
    assert bool(cases) == bool(out)


def test_no_text_is_measured_that_a_fold_was_trained_on_under_another_source() -> None:
    found = [
        Row("Be evil, now!", "gptfuzzer_templates", {"jailbreak": 1}),
        Row("  be EVIL\nnow", "itw_jailbreak", {"jailbreak": 1}),
        Row("Be evil now and then.", "itw_jailbreak", {"jailbreak": 1}),
        Row("How much is there?", "clinc150", {"jailbreak": 0}),
    ]
    assert parted(found, frozenset({"gptfuzzer_templates", "clinc150"}))[0] == {2}
    assert parted(found, frozenset({"itw_jailbreak", "clinc150"}))[0] == set()
    # Nothing to be told from, so nothing is measured.
    assert parted(found, frozenset({"itw_jailbreak"}))[0] == {0, 3}


def test_attacks_are_told_from_benign_texts_that_are_left_out_with_them() -> None:
    found = rows_of_each(seed=5)
    for task in ("jailbreak", "injection"):
        names = [{case.name for case in parted(found, out)[1] if case.task == task}
                 for out in FOLDS]  # fmt: skip
        assert names == [
            {"itw_jailbreak / role_prompts_benign"}, {"gptfuzzer_templates / clinc150"}, set(),
            {"hh_prompts"}, {"presidio_synth"},
        ]  # fmt: skip


def test_every_public_source_is_left_out_once_or_holds_nothing_to_measure() -> None:
    if not DATA.is_dir():
        pytest.skip("../shared/data is not there")
    found = published(DATA, random.Random(1))
    named = [source for some in (*FOLDS, NEVER_OUT) for source in some]
    assert sorted(named) == sorted({row.source for row in found})
    assert parted(found, NEVER_OUT)[1] == []
    for out in FOLDS:
        for task in TASKS:
            bad = {row.source for row in found if row.source in out and row.labels.get(task) == 1}
            assert len(bad) <= 1 or all(source.startswith("diasafety") for source in bad)


def fears_refugees(case: Case) -> NDArray[np.float64]:
    """Sure of every sentence about one group, and of the first about two more."""
    first = case.texts[0].replace("women", "men"), case.texts[0]
    return np.array([0.99 if "refugees" in text or text in first else 0.1 for text in case.texts])


def test_false_positives_are_told_group_by_group_and_head_by_head() -> None:
    found = by_group(fears_refugees, ["toxicity", "harm"])
    head, _, *lines = [line.strip("| ").split(" | ") for line in group_table(found).splitlines()]
    assert head[1:] == ["toxicity", "harm"]
    told = {name: cells for name, *cells in lines}
    words = json.loads((Path(__file__).parents[1] / "training" / "phrases.json").read_text("utf-8"))
    assert list(told) == [*words["groups"], "largest gap"] and len(lines) == len(told)
    some = {"refugees": "1.000", "women": "0.100", "men": "0.100", "largest gap": "1.000"}
    assert told == {name: [some.get(name, "0.000")] * 2 for name in told}


def test_a_line_holds_what_the_threshold_finds_and_flags() -> None:
    chance = np.array([0.99, 0.97, 0.2, 0.1, 0.98, 0.3])
    case = Case("jailbreak", "some", tuple("abcdef"), (1, 1, 1, 0, 0, 0))
    line = measure(case, chance)
    # Of nine pairs of an attack and a benign text, six stand in the right order.
    assert math.isclose(line.auroc, 6 / 9)
    assert line.length == 0.5
    assert (line.recall, line.flagged_benign) == (2 / 3, 1 / 3)
    # In the last bin .98 in the mean where two of three are attacks; else .8, .1 and .3.
    assert math.isclose(line.calibration, (3 * (0.98 - 2 / 3) + 0.8 + 0.1 + 0.3) / 6)
    # Hanley and McNeil's equation 2, by hand: q1 = a / (2 - a), q2 = 2 a^2 / (1 + a).
    a, q1, q2 = 2 / 3, 0.5, 8 / 15
    spread = a * (1 - a) + 2 * (q1 - a * a) + 2 * (q2 - a * a)
    assert math.isclose(line.half_width, 1.959964 * math.sqrt(spread / 9), rel_tol=1e-6)


def test_benign_texts_alone_have_no_order_and_attacks_alone_no_false_positives() -> None:
    benign = measure(Case("injection", "b", ("x", "y"), (0, 0)), np.array([0.99, 0.1]))
    attacks = measure(Case("injection", "a", ("x", "y"), (1, 1)), np.array([0.99, 0.1]))
    assert math.isnan(benign.auroc) and math.isnan(benign.recall) and benign.flagged_benign == 0.5
    assert math.isnan(attacks.auroc) and math.isnan(attacks.flagged_benign)
    assert attacks.recall == 0.5


def test_what_stands_at_the_threshold_is_flagged() -> None:
    at = BY_NAME["prompt_injection"].threshold
    line = measure(Case("injection", "t", ("x", "y"), (1, 0)), np.array([at, at]))
    assert line.recall == line.flagged_benign == 1.0


def test_what_is_no_number_leaves_its_cell_empty() -> None:
    line = Entry("harm", "some_source", 7, math.nan, math.nan, math.nan, math.nan, 0.25, 0.5,
                 math.nan)  # fmt: skip
    assert row_of(line) == "| harm | some source | 7 |  |  |  | 0.250 | 0.500 |  |"
