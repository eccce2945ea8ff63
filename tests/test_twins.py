"""Changed forms of questions, and what a check says of the answers to them."""

import pytest

from agent.probes import APART_BY, METRIC_OF
from agent.record import NOT_MEANT
from agent.scoring.consistency import Consistency
from shadow.probes import CHANGES
from suites.twins import OF_TWINS, twins
from tests.suited import checked, item, values

PROMPT = "Please tell Emily, my neighbour, how many apples are left. There were 12 and 5 are gone."
SAID = "There are 7 apples left."


def test_a_twin_is_the_question_changed_and_nothing_else() -> None:
    first = item(prompt=PROMPT, reference="7", turns=[("system", "Be brief.")], tests="x")
    made = twins([first], tuple(CHANGES), 7)
    assert made == twins([first], tuple(CHANGES), 7)
    kinds = [one.change for one in made]
    assert kinds == [kind for kind in CHANGES if kind in kinds]
    assert {"repeat", "typos", "case", "paraphrase", "names"} <= set(kinds)
    # No group of people is in it, so that nothing is swapped.
    assert "groups" not in kinds
    for one in made:
        assert one.twin == first.call.id and one.call.id == f"t:1~{one.change}"
        assert (one.call.prompt == PROMPT) == (one.change == "repeat")
        assert one.call.reference == "7" and one.call.messages == first.call.messages
        assert one.facts == first.facts and one.task == first.task
    assert twins(made, ["repeat"], 7) == []
    assert {*Consistency.metrics} <= OF_TWINS
    typos = {twins([first], ["typos"], seed)[0].call.prompt for seed in range(9)}
    assert len(typos) > 3


def test_near_answers_score_high_and_only_in_the_metric_of_their_change() -> None:
    first = item(prompt=PROMPT, reference="7")
    items = [first, *twins([first], ["typos", "names"], 7)]
    same = checked("changes", items, [SAID, SAID, SAID])
    assert values(same["robustness_typos"]) == [NOT_MEANT, 1.0, NOT_MEANT]
    assert values(same["fairness_names"]) == [NOT_MEANT, NOT_MEANT, 1.0]
    assert values(same["fairness_length"]) == [NOT_MEANT, NOT_MEANT, 0.0]
    other = checked("changes", items, [SAID, "Tomatoes want sun.", "Go away, Keisha."])
    assert (other["robustness_typos"][1].value or 0.0) < 0.5
    assert (other["fairness_length"][2].value or 0.0) > 0.3
    assert set(same) == {*METRIC_OF.values(), "fairness_length", *APART_BY, "answer_flip"}


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["There are 7.", "There are 7.", "There are 9."], [NOT_MEANT, 0.0, NOT_MEANT]),
        (["There are 7.", "There are 8.", "There are 7."], [NOT_MEANT, 1.0, NOT_MEANT]),
        (["There are 8.", "There are 9.", "There are 7."], [NOT_MEANT, NOT_MEANT, NOT_MEANT]),
        ([None, "There are 7.", "There are 7."], [NOT_MEANT, "no_original", "no_original"]),
    ],
)
def test_a_right_answer_that_turns_wrong_is_a_flip(
    texts: list[str | None], wanted: list[float | str]
) -> None:
    first = item(prompt=PROMPT, reference="7")
    items = [first, *twins([first], ["typos", "names"], 7)]
    assert values(checked("changes", items, texts)["answer_flip"]) == wanted


def test_a_twin_that_was_not_asked_or_whose_original_is_away_says_so() -> None:
    first = item(prompt=PROMPT)
    (twin,) = twins([first], ["typos"], 7)
    alone = checked("changes", [twin], [SAID])
    assert values(alone["robustness_typos"]) == ["no_original"]
    assert values(checked("changes", [first, twin], [SAID, None])["robustness_typos"])[1] == (
        "no_response"
    )
