"""Recorded answers that say odd things."""

from pathlib import Path

from suites.answers import Recorded
from tests.evaluated import write_lines
from tests.suited import item


def test_a_number_beyond_all_numbers_is_none_and_an_error_is_one_line(tmp_path: Path) -> None:
    said = {"status": "error", "error": "\x1b[2Jaway\n" + "very " * 99 + "far"}
    rows = [{"id": "1", "response": "Yes.", "latency_s": 10**400, "tokens_in": 10**400},
            {"id": "2", **said}]  # fmt: skip
    file = write_lines(tmp_path / "answers.jsonl", rows)
    found = Recorded("targets.a.answers", file, {}, {}, tmp_path)
    first, second = found.answers([item("t:1"), item("t:2")])
    assert first is not None and second is not None and not found.rejected
    assert first.answer.text == "Yes."
    assert first.answer.latency_s is first.answer.tokens_in is None
    error = second.answer.error
    assert error is not None and error.startswith("[2Jaway very") and len(error) <= 128
    assert error.isprintable()
