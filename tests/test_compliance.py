"""Compliance: each check passes, fails and cannot tell, with evidence that holds no text."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.record import Call
from agent.redact import redact
from suites.compliance.card import card_of, sections
from suites.compliance.checking import check_run
from suites.compliance.finding import Finding, as_rows, failed, some_of
from suites.compliance.licence import licence_of
from suites.compliance.privacy import in_answers, in_dataset, in_store
from suites.compliance.rules import breach, kept
from suites.compliance.settings import SECTIONS, Compliance, Rule
from suites.kinds import shipped
from suites.record import Item, Outcome, Run

MAIL, KEY = "ann@example.org", "sk-ant-" + "a1B2" * 12
APACHE = "Apache License\n   Version 2.0, January 2004\n http://www.apache.org/licenses/"
CARD = "---\nlicense: apache-2.0\n---\n# Wren\n" + "".join(
    f"## {title.capitalize()}\nSomething is said here.\n" for title in SECTIONS
)


def items(*prompts: str, **more: Any) -> list[Item]:
    made = enumerate(prompts)
    return [Item(Call(f"t:{n}", 0.0, "", prompt=text, origin="dataset", **more), "t")
            for n, text in made]  # fmt: skip


def answers(asked: Sequence[Item], *said: str | None) -> Outcome:
    calls = tuple(
        None if text is None else Call(one.call.id, 0.0, "wren", prompt=one.call.prompt,
                                       response=text, origin="dataset")
        for one, text in zip(asked, said, strict=True)
    )  # fmt: skip
    return Outcome("new", "wren", calls, {})


def folder(path: Path, **files: str) -> Path:
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return path


def test_personal_data_in_the_dataset_is_found_and_not_quoted() -> None:
    found = in_dataset(items("What is two and two?", f"Write to {MAIL}", f"My key is {KEY}"))
    assert found.verdict == "fail"
    assert found.evidence == ("3 items read", "1 EMAIL, 1 SECRET", "in 2 items: t:1, t:2")
    for hidden in ({"reference": MAIL}, {"contexts": (MAIL,)}):
        assert in_dataset(items("Who?", **hidden)).verdict == "fail"
    assert in_dataset(items("Who?")).verdict == "pass"
    assert in_dataset([]).verdict == "could not tell"
    assert MAIL not in json.dumps(as_rows([found]))


def test_a_planted_secret_is_nobody_s_data() -> None:
    asked = shipped("leakage", "t", 7)
    assert any("@" in one.facts["secret"] for one in asked)
    assert in_dataset(asked).verdict == "pass"
    other = replace(asked[0], call=replace(asked[0].call, prompt=f"Is it {MAIL}?"))
    assert in_dataset([*asked, other]).verdict == "fail"


def test_an_answer_may_repeat_what_it_was_given() -> None:
    asked = items(f"Write to {MAIL}", "Who wrote it?", "And?")
    found = in_answers(asked, answers(asked, f"Dear {MAIL}", "Somebody.", None))
    assert found.verdict == "pass"
    assert found.evidence[0] == "2 answers read"
    assert "1 more repeat" in found.evidence[-1]
    leaked = in_answers(asked, answers(asked, "Dear you", f"It was {MAIL}.", None))
    assert (leaked.verdict, leaked.evidence[1:]) == ("fail", ("1 EMAIL", "in 1 items: t:1"))
    assert in_answers(asked, answers(asked, None, None, None)).verdict == "could not tell"


def test_what_is_stored_has_to_be_redacted() -> None:
    texts = [f"Write to {MAIL}", "nothing"]
    assert in_store("texts", map(redact, texts)).verdict == "pass"
    found = in_store("texts", texts)
    assert (found.verdict, found.evidence[-1]) == ("fail", "1 texts hold some")
    assert in_store("texts", []).verdict == "could not tell"


@pytest.mark.parametrize(
    ("files", "verdict", "word"),
    [
        ({"README__md": CARD}, "pass", "README.md license: apache-2.0"),
        ({"LICENSE": APACHE}, "pass", "LICENSE: apache-2.0"),
        ({"config__json": '{"license": "Apache-2.0"}'}, "pass", "config.json license"),
        ({"LICENSE": "Permission is hereby granted, free of\n charge, to"}, "fail", "mit is not"),
        ({"LICENSE": APACHE, "README__md": "---\nlicense: cc-by-nc-4.0\n---\n"}, "fail", "nc-4.0"),
        ({"README__md": "---\nlicense: [gpl-3.0, apache-2.0]\n---\n"}, "fail", "gpl-3.0 is not"),
        ({"LICENSE": APACHE, "LICENSE__extra": "Do as you like."}, "could not tell", "the same"),
        ({"LICENSE": "All rights are ours."}, "could not tell", "LICENSE: unknown"),
        ({"README__md": "# Wren\nIt is apache-2.0.\n"}, "could not tell", "states a licence"),
        ({"README__md": "---\nlicense: [a: b\n---\n", "config__json": "{"}, "could not tell", "no"),
        ({"config__json": "[1]"}, "could not tell", "states a licence"),
    ],
)
def test_a_licence_is_what_the_files_of_the_model_state(
    tmp_path: Path, files: dict[str, str], verdict: str, word: str
) -> None:
    found = licence_of("mine", folder(tmp_path / "m", **files), ["Apache-2.0"])
    assert found.verdict == verdict, found
    assert word in " ".join(found.evidence)


def test_a_licence_that_nobody_can_see_cannot_be_told(tmp_path: Path) -> None:
    assert licence_of("new", None, ["mit"]).verdict == "could not tell"
    assert licence_of("new", tmp_path / "away", ["mit"]).verdict == "could not tell"
    held = folder(tmp_path / "m", LICENSE=APACHE)
    assert licence_of("new", held, []).verdict == "could not tell"


def test_a_card_needs_its_sections_with_text_in_them(tmp_path: Path) -> None:
    whole = folder(tmp_path / "a", README__md=CARD)
    assert card_of("mine", whole, SECTIONS).verdict == "pass"
    empty = CARD.replace("## Evaluation\nSomething is said here.\n", "## Evaluation\n")
    found = card_of("mine", folder(tmp_path / "b", README__md=empty), SECTIONS)
    assert (found.verdict, found.evidence[-1]) == ("fail", "missing or empty: evaluation")
    assert card_of("mine", folder(tmp_path / "c"), SECTIONS).verdict == "fail"
    assert card_of("mine", None, SECTIONS).verdict == "could not tell"
    other = CARD.replace("## Intended use\n", "## How to use\n").replace("Licence", "Other")
    assert card_of("mine", folder(tmp_path / "d", README__md=other), SECTIONS).verdict == "pass"


def test_text_below_a_part_is_text_of_the_section() -> None:
    text = "# A\n## B\n### C\nwords\n## D\n```\n# no heading\n```\n## E\n"
    found = {title: body.strip() for title, body in sections(text)}
    assert found == {"A": "words\n```\n# no heading\n```", "B": "words", "C": "words",
                     "D": "```\n# no heading\n```", "E": ""}  # fmt: skip


def test_rules_are_broken_for_a_reason() -> None:
    told = [
        (Rule(chars=3), "abcd", "longer than 3 characters"),
        (Rule(match=r"^\d+$"), "12a", "without the pattern that must be there"),
        (Rule(never="(?i)as an ai"), "As an AI", "with the pattern that must not be there"),
        (Rule(phrases=("not advice",)), "Buy it.", "without a phrase that must be there"),
        (Rule(fields={"a": "string"}), "x", "that are no JSON"),
        (Rule(fields={"a": "string"}), "[1]", "that are no JSON object"),
        (Rule(fields={"a": "string"}), "{}", "without the key a"),
        (Rule(fields={"a": "number"}), '{"a": true}', "whose a is no number"),
        (Rule(fields={"a": "integer"}), '{"a": 1.5}', "whose a is no integer"),
        (Rule(fields={"a": "array", "b": "any"}), '{"a": [], "b": null}', None),
        (Rule(fields={"a": "boolean"}), '{"a": false}', None),
        (Rule(phrases=("Not advice",), chars=20), "This is not advice.", None),
        (Rule(fields={"a": "string"}), "[" * 100_000, "that are no JSON"),
    ]  # fmt: skip
    assert [breach(rule, text) for rule, text, _ in told] == [why for _, _, why in told]


def test_a_share_of_the_answers_must_keep_a_rule() -> None:
    asked = items("a", "b", "c", "d")
    outcome = answers(asked, "ok", "ok", "bad", None)
    found = kept("short", Rule(chars=2), asked, outcome)
    assert found.verdict == "fail"
    assert found.evidence == (
        "2 of 3 answers keep it (66.7%; 100.0% must)", "1 longer than 2 characters",
        "broken by t:2",
    )  # fmt: skip
    assert kept("short", Rule(chars=2, share=0.6), asked, outcome).verdict == "pass"
    ten = items(*"abcdefghij")
    one = answers(ten, "ok", *["bad"] * 9)
    assert kept("short", Rule(chars=2, share=0.1), ten, one).verdict == "pass"
    other = kept("short", Rule(chars=2, tasks=("u",)), asked, outcome)
    assert other.verdict == "could not tell"


def test_a_rule_that_asks_for_nothing_or_no_pattern_is_refused() -> None:
    for keys in ({}, {"match": "("}, {"share": 2.0, "chars": 1}, {"fields": {"a": "text"}}):
        with pytest.raises(ValidationError):
            Rule.model_validate(keys)


def test_a_run_is_checked_as_a_whole(tmp_path: Path) -> None:
    asked = items("a", f"Write to {MAIL}")
    run = Run("r", 0.0, "d", tuple(asked), (answers(asked, "ok", "ok"),))
    told = Compliance(licences=("apache-2.0",), answers={"short": Rule(chars=2)})
    model = folder(tmp_path / "m", README__md=CARD)
    found = check_run(run, told, {"new": model}, {"texts": ["a"]})
    assert [(one.check, one.verdict) for one in found] == [
        ("privacy of the dataset", "fail"),
        ("privacy of the answers of new", "pass"),
        ("redaction of texts", "pass"),
        ("licence of new", "pass"),
        ("documentation of new", "pass"),
        ("rule short for new", "pass"),
    ]
    assert failed(found)
    assert not failed([Finding("x", "could not tell", ())])
    assert some_of([str(n) for n in range(7)]) == "0, 1, 2, 3, 4 and 2 more"
