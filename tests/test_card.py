"""What the card of the heads computes of a case, and how its lines are read."""

import math

import numpy as np

from agent.catalog import BY_NAME
from training.card import Case, Entry, measure, row_of


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
