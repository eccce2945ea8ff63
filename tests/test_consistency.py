"""Answers to changed prompts beside those to unchanged ones, and where they must not count."""

import numpy as np
import pytest

from agent.catalog import BY_NAME, METRICS
from agent.columns import missing_by_reason, score_column
from agent.config import load_config
from agent.panes import Group, PaneBook, RowKey, fold, place
from agent.probes import APART, APART_BY, METRIC_OF, PROBES, SEGMENT
from agent.record import NOT_MEANT, Call, Score
from agent.score import load_panel
from agent.scoring import Options, load
from tests.test_conformance import HOSTILE

SAID = "The parcel leaves our warehouse on Monday and arrives two days later."
NEAR = "Your parcel is sent from our warehouse on Monday and comes after two days."
FAR = "Tomatoes want sun, water and patience."
RUDE = "You are a stupid, disgusting idiot. Shut up and get lost, you worthless moron."
REFUSES = "I'm sorry, but I can't help you with that request."
APARTS = set(APART_BY)


def probe(kind: str, response: str | None, reference: str | None = SAID, **more: str) -> Call:
    """The answer to a changed prompt."""
    told = {"variant": "probe:next", "response": response, "reference": reference} | more
    return Call("a", 0.0, "m", segment=((SEGMENT, kind),), **told)  # type: ignore[arg-type]  # texts all


def row_of(call: Call) -> dict[str, Score]:
    """Every score of one call."""
    given = load("consistency", Options(device="cpu")).score([call])
    return {metric: row[0] for metric, row in given.items()}


@pytest.mark.parametrize("kind", METRIC_OF)
def test_the_nearer_the_answers_the_higher_the_score_of_its_kind_alone(kind: str) -> None:
    same, near, far = (row_of(probe(kind, text)) for text in (SAID, NEAR, FAR))
    metric = METRIC_OF[kind]
    values = [row[metric].value or 0.0 for row in (same, near, far)]
    assert values[0] == 1.0 and values[0] > values[1] > 0.7 > 0.3 > values[2]
    extra = {"fairness_length"} if kind in PROBES["fairness"] else set()
    extra |= {f"{metric.partition('_')[0]}_{one}" for one in APART}
    assert {name for name, score in near.items() if score.why != NOT_MEANT} == {metric} | extra
    assert row_of(probe(kind, " ", " "))[metric].value == 1.0, "equal texts are equal"


def test_the_length_of_a_counterfactual_answer_is_compared() -> None:
    half = row_of(probe("names", SAID[: len(SAID) // 2]))["fairness_length"].value
    assert half == pytest.approx(1 - (len(SAID) // 2) / len(SAID))
    assert row_of(probe("groups", SAID))["fairness_length"].value == 0.0


UNFAIR = [("toxicity", RUDE), ("refusal", REFUSES)]


@pytest.mark.parametrize(("what", "kind"), [("fairness", "names"), ("robustness", "case")])
@pytest.mark.parametrize(("name", "text"), UNFAIR)
def test_answers_that_one_of_two_gets_rude_or_refused_are_far_apart(
    what: str, kind: str, name: str, text: str
) -> None:
    metric = f"{what}_{name}"
    for answers in ((text, SAID), (SAID, text)):  # whichever of the two was asked first
        assert (row_of(probe(kind, *answers))[metric].value or 0.0) > 0.7
    for answers in ((NEAR, SAID), (text, text)):  # as good, or as bad, to both
        value = row_of(probe(kind, *answers))[metric].value
        assert value is not None and value < 0.1
    others = APARTS - {f"{what}_{one}" for one in APART}
    assert {row_of(probe(kind, text))[other].why for other in others} == {NOT_MEANT}


def test_a_difference_is_that_of_the_scores_whatever_stands_beside_the_answers() -> None:
    heads = load("toxicity", Options(device="cpu"))
    both = [Call("a", 0.0, "m", response=text) for text in (RUDE, SAID)]
    one, other = (score.value or 0.0 for score in heads.score(both)["response_toxicity"])
    beside = {"prompt": RUDE, "contexts": (RUDE,)}
    found = row_of(probe("groups", RUDE, **beside))["fairness_toxicity"]  # type: ignore[arg-type]  # one is a tuple
    assert found.value == pytest.approx(abs(one - other), abs=1e-4)


def test_a_probe_without_an_answer_lacks_its_own_scores_and_no_other() -> None:
    mine = {"robustness_typos", *(f"robustness_{one}" for one in APART)}
    failed = row_of(probe("typos", None, status="timeout"))
    assert {failed[name].why for name in mine} == {"no_response"}
    assert {score.why for name, score in failed.items() if name not in mine} == {NOT_MEANT}
    lone = row_of(probe("typos", SAID, None))
    assert {lone[name].why for name in mine} == {"no_reference"}


@pytest.mark.parametrize(
    "call",
    [
        Call("a", 0.0, "m", response=SAID, reference=SAID),
        probe("typos", SAID, variant="shadow:next"),
        probe("typos", SAID, variant="production"),
        probe("unheard-of", SAID),
    ],
)
def test_what_is_no_probe_lacks_nothing(call: Call) -> None:
    assert {score.why for score in row_of(call).values()} == {NOT_MEANT}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_answer_has_a_status(text: str) -> None:
    given = row_of(probe("names", text))
    assert given["fairness_names"].status in ("ok", "unscored")
    assert 0.0 <= (given["fairness_length"].value or 0.0) <= 1.0


def test_no_pane_and_no_count_of_missing_scores_hears_of_what_was_not_meant() -> None:
    rows = [Score(None, "unscored", NOT_MEANT), Score(None, "unscored", "no_response"), Score(0.5)]
    column = score_column("robustness_typos", rows)
    assert missing_by_reason(column) == {"no_response": 1}
    book, keys = PaneBook(10), [RowKey(0, Group("s", "m", name)) for name in "abc"]
    placed = place(book, [[key] for key in keys], ["ok"] * 3)
    fold(placed, [column], np.arange(3, dtype=np.uint64))
    kept = [dict(book.open(key).summaries) for key in keys]
    assert "robustness_typos" not in kept[0]
    assert kept[1]["robustness_typos"].missing.words == {"no_response": 1}
    assert (kept[2]["robustness_typos"].n, kept[2]["robustness_typos"].missing.total()) == (1, 0)


def test_every_kind_has_a_row_in_the_catalogue_and_a_scorer_that_is_on() -> None:
    rows = {m.name for m in METRICS if m.name.startswith(("robustness_", "fairness_"))}
    assert rows == {*METRIC_OF.values(), "fairness_length", *APARTS}
    assert {BY_NAME[f"{what}_{kind}"].dimension for what in PROBES for kind in PROBES[what]} == {
        "robustness", "fairness",
    }  # fmt: skip
    panel = load_panel(load_config())
    assert rows <= set(panel.metric_versions)
    assert not rows & set(load_panel(load_config(models=False)).metric_versions)
