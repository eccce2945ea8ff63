"""Changed prompts: what changes, what stays letter for letter, and which of them are asked."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.buckets import event_key
from agent.probes import METRIC_OF, PROBES
from agent.record import Answer, Ask, Call, Message
from shadow.people import GROUPS, KIN, NAMES, PERSONS
from shadow.probes import CHANGES, MOST_CHARS, changed, exact_spans
from shadow.probing import probe_asks

LONG = (
    "Please write a friendly letter to my neighbour about the noise of last night. Mention that "
    "Emily called the hotline at 0800 11 22 33, see https://example.org/Noise?id=7 and `rm -rf x`."
    "\n\n```python\nprint('Emily is 30. Really.')\n\nreturn Fatima\n```\n\nKeep it short, please."
)
INSIDE = ("0800", "11", "22", "33", "https://example.org/Noise?id=7", "`rm -rf x`",
          "```python\nprint('Emily is 30. Really.')\n\nreturn Fatima\n```")  # fmt: skip
# Pieces that chance puts together: words, names, numbers, code open and closed, odd characters.
PIECES = st.lists(
    st.one_of(
        st.sampled_from([
            "Emily ", "Jamal's", "a Muslim neighbour ", "my wife ", "3.5", "12,000 ", "`x`", "```",
            "~~~", "`", "\n\n", "\n- one thing", "\n- two", ". ", "! ", "Who? ", "www.Example.com ",
            "a@b.de ", "{name}", "straße ", "İstanbul ", "\0", "<b>", "weather ", "Greg", "she ",
        ]),
        st.text(max_size=8),
    ),
    max_size=25,
).map("".join)  # fmt: skip


def pieces(text: str) -> list[str]:
    """What may not change."""
    return [text[a:b] for a, b in exact_spans(text)]


@settings(max_examples=300, deadline=None)
@given(text=PIECES, seed=st.integers(0, 2**64 - 1), kind=st.sampled_from(sorted(CHANGES)))
def test_what_is_exact_stays_and_the_rest_is_decided_by_the_seed(
    text: str, seed: int, kind: str
) -> None:
    made = changed(kind, text, seed)
    assert made == changed(kind, text, seed)
    if made is None:
        return
    assert (made == text) == (kind == "repeat")
    if kind in ("paraphrase", "language"):
        assert text in made
    elif kind == "order":
        assert all(piece in made for piece in pieces(text))
        assert Counter(made.split()) == Counter(text.split())
    else:
        assert pieces(made) == pieces(text)


@pytest.mark.parametrize("kind", CHANGES)
def test_numbers_code_and_addresses_of_a_real_prompt_stay(kind: str) -> None:
    for seed in range(20):
        made = changed(kind, LONG, seed)
        if kind != "groups":
            assert made is not None and all(piece in made for piece in INSIDE)


def test_typos_change_one_word_in_twelve_by_a_letter() -> None:
    made = changed("typos", LONG, 3) or ""
    old, new = LONG.split(), made.split()
    moved = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
    assert 1 <= len(moved) <= 4
    assert all(abs(len(a) - len(b)) <= 1 and a[0] == b[0] for a, b in moved)
    assert len({changed("typos", LONG, seed) for seed in range(20)}) > 10
    assert changed("typos", "an ox 1234 `abcdef`", 1) is None
    assert changed("typos", "loop noon", 5) != "loop noon"


def test_case_is_that_of_every_plain_word() -> None:
    made = {changed("case", "Call Emily at Main_St 4B", seed) for seed in range(20)}
    assert made == {"call emily at Main_St 4B", "CALL EMILY AT Main_St 4B"}
    assert changed("case", "17 + 4 = 21", 0) is None
    assert {changed("case", "ok", seed) for seed in range(9)} == {"OK"}


def test_order_moves_the_parts_and_loses_none() -> None:
    assert changed("order", "It rained. Sum 3.5 and 4. Tell me why.", 0) == (
        "Tell me why. It rained. Sum 3.5 and 4."
    )
    assert changed("order", "The text:\n\nIt rained.\n\nSum it up.\n", 0) == (
        "Sum it up.\n\nThe text:\n\nIt rained."
    )
    made = {changed("order", "Do:\n- one\n- two\n- three\nNow.", seed) for seed in range(30)}
    assert len(made) == 5 and all((one or "").startswith("Do:\n- ") for one in made)
    for whole in ("One sentence only.", "Explain. This:\n\n```\nopen code", "- one\n- one"):
        assert changed("order", whole, 0) is None


def test_wrappers_are_in_the_language_of_the_text_or_in_another() -> None:
    german = "Wie lange dauert der Versand nach Österreich, und was kostet er?"
    said = {changed("paraphrase", german, seed) for seed in range(20)}
    assert f"Ich habe ein Anliegen. {german}" in said and len(said) == 3
    asked = {(changed("language", german, seed) or "").partition(" ")[0] for seed in range(30)}
    assert asked == {"Answer", "Réponds", "Responde"}
    assert changed("paraphrase", "ok 17", 0) is None and changed("language", "ok 17", 0) is None


def test_names_are_swapped_throughout_within_their_row() -> None:
    made = changed("names", "Emily and Emily's dog met Greg; EMILY and Emilyville did not.", 4)
    assert made is not None
    (her, him) = made.split()[0], made.split("met ")[1].partition(";")[0]
    assert made == f"{her} and {her}'s dog met {him}; EMILY and Emilyville did not."
    assert any(her in column for column in NAMES[0][1:])
    assert any(him in column for column in NAMES[1][1:])
    assert changed("names", "Will Mark rose in May?", 1) is None
    everyone = " ".join(name for row in NAMES for column in row for name in column)
    assert changed("names", everyone, 1) is None, "no name is free"


def test_groups_are_swapped_before_a_person_and_nowhere_else() -> None:
    made = {changed("groups", "My Muslim neighbour saw a gay couple.", s) for s in range(300)}
    others = {f"My {a} neighbour saw a {b} couple." for a in GROUPS[0][:1] + GROUPS[0][2:]
              for b in GROUPS[2][1:]}  # fmt: skip
    assert made == others
    assert changed("groups", "My wife and my uncle", 2) == "My husband and my aunt"
    for text in ("Translate it into German.", "German food", "What do Muslims eat?", "wives",
                 "My wife says she is ill", "my brotherhood"):  # fmt: skip
        assert changed("groups", text, 2) is None, text


def test_the_lists_of_people_hold_together() -> None:
    known = [name for row in NAMES for column in row for name in column]
    words = [*known, *(one for some in (*GROUPS, *KIN) for one in some)]
    assert len(set(words)) == len(words) and not set(words) & set(PERSONS)
    assert all(len(column) == 5 for row in NAMES for column in row)
    assert not any(one[0] in "aeiouAEIOU" for row in GROUPS for one in row), "a stays a"


def test_what_is_no_prompt_is_not_changed() -> None:
    for text in ("", " \n", "word " * (MOST_CHARS // 5 + 1)):
        assert all(changed(kind, text, 0) is None for kind in CHANGES)
    assert set(CHANGES) == set(METRIC_OF)


CALL = Call(
    "c1", 10.0, "m", service="s", unit="u", prompt=LONG, segment=(("tenant", "acme"),),
    messages=(Message("system", "Be kind."), Message("user", LONG)), parameters=(("seed", 4),),
)  # fmt: skip
ANSWER = Answer("ok", "Dear neighbour, ...")


def test_a_probe_is_an_ask_of_the_same_call_with_a_changed_prompt() -> None:
    asks = probe_asks(Ask(b"t" * 16, "next", CALL), ANSWER, 1.0)
    kinds = [dict(one.call.segment)["probe"] for one in asks]
    assert [kind in PROBES["robustness"] for kind in kinds] == [True, False] and kinds[1] == "names"
    for one, kind in zip(asks, kinds, strict=True):
        call = one.call
        assert one.ticket == event_key("ticket", "next", "s", "c1", kind)
        assert (one.candidate, call.variant, call.origin, call.pair) == (
            "next", "probe:next", "shadow", "c1",
        )  # fmt: skip
        assert call.reference == ANSWER.text and dict(call.segment)["tenant"] == "acme"
        assert call.messages == (Message("system", "Be kind."), Message("user", call.prompt or ""))
        assert (call.prompt == LONG) == (kind == "repeat")
        assert (call.unit, call.parameters, call.at) == ("u", (("seed", 4),), 10.0)
    assert asks == probe_asks(Ask(b"x" * 16, "next", CALL), ANSWER, 1.0)


def test_the_share_is_nested_and_every_kind_has_its_turn() -> None:
    many = [Ask(b"t" * 16, "next", replace(CALL, id=f"c{at}")) for at in range(2000)]
    some = [[probe_asks(one, ANSWER, share) for one in many] for share in (0.1, 0.4)]
    probed = [{at for at, asks in enumerate(row) if asks} for row in some]
    assert probed[0] < probed[1]
    assert abs(len(probed[0]) - 200) < 45 and abs(len(probed[1]) - 800) < 75
    kinds = Counter(dict(a.call.segment)["probe"] for asks in some[1] for a in asks)
    assert set(kinds) == set(PROBES["robustness"]) | {"names"}
    assert min(kinds[kind] for kind in PROBES["robustness"]) > 90


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (CALL, replace(ANSWER, status="error")),
        (CALL, replace(ANSWER, text=" ")),
        (CALL, replace(ANSWER, text=None)),
        (replace(CALL, prompt=None), ANSWER),
        (replace(CALL, messages=(Message("user", "another text"),)), ANSWER),
        (replace(CALL, variant="probe:next"), ANSWER),
    ],
)
def test_what_cannot_be_probed_is_not(call: Call, answer: Answer) -> None:
    assert probe_asks(Ask(b"t" * 16, "next", call), answer, 1.0) == []
