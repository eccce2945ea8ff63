"""A text in windows of sentences: which they are, and what is remembered of them."""

from collections.abc import Sequence
from itertools import pairwise

import pytest

from agent.scoring import sentences
from agent.scoring.sentences import Count, Fitted, fitting_windows, sentence_windows


def test_sentences_lines_and_cells_are_windows_of_their_own() -> None:
    text = "One. Two!\nThree | four"
    assert sentence_windows(text) == ("One.", "Two!", "Three", "four")
    assert sentence_windows(text, 2) == ("One. Two!", "Three four")
    assert sentence_windows(" \n") == ()


def test_a_long_text_is_read_as_a_short_one_is_and_not_remembered() -> None:
    text = " ".join(f"Sentence {number} stands here." for number in range(1000))
    before = sentences._windows.cache_info()
    windows = sentence_windows(text)
    assert sentences._windows.cache_info() == before
    assert " ".join(windows) == text and len(windows) == 63  # of sixteen sentences


def test_a_short_text_is_split_once() -> None:
    before = sentences._windows.cache_info()
    assert sentence_windows("Only here. Once.") is sentence_windows("Only here. Once.")
    after = sentences._windows.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 1)


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def letters(texts: Sequence[str]) -> list[int]:
    return [len(text.replace(" ", "")) for text in texts]


@pytest.mark.parametrize("size", [1, 2])
def test_a_text_whose_windows_fit_is_read_in_them(size: int) -> None:
    text = "One two. Three four! Five six\nSeven"
    assert fitting_windows(text, size, 4, words) == Fitted(sentence_windows(text, size))
    assert fitting_windows("", size, 4, words) == ((), False)


def test_sentences_that_do_not_fit_together_are_read_apart_and_nothing_is_cut() -> None:
    text = "One two. Three four five six seven eight nine ten. Eleven. Twelve."
    found = ("One two.", "Three four five six seven eight nine ten.", "Eleven. Twelve.")
    assert fitting_windows(text, 2, 8, words) == (found, False)
    # With one window more than there may be they stand as near together as they fit.
    many = "One two three four five. " * 2 + "Ja so. " * 126
    windows, cut = fitting_windows(many, 2, 8, words)
    assert (" ".join(windows), cut) == (many.strip(), False)
    assert len(windows) < 64 and max(words(windows)) <= 8


@pytest.mark.parametrize(("count", "most"), [(words, 7), (letters, 9), (letters, 1)])
@pytest.mark.parametrize("text", ["ab " * 60, "\u5c71" * 60, "a" * 30 + " b c d e f g h, j"])
def test_a_sentence_that_does_not_fit_is_cut_and_none_of_it_lost(
    text: str, count: Count, most: int
) -> None:
    windows, cut = fitting_windows(f"Ja. {text}! Na.", 2, most, count)
    if count([text])[0] > most:
        assert cut and max(count(windows)) <= most
    assert len(windows) == 64 or "".join("".join(windows).split()) == "".join(
        f"Ja.{text}!Na.".split()
    )


def test_of_what_64_windows_do_not_hold_they_are_spread_from_its_start_to_its_end() -> None:
    text = " ".join(f"Number {at} is here." for at in range(1_000))
    windows, cut = fitting_windows(text, 2, 9, words)
    assert cut and len(windows) == 64 and max(words(windows)) <= 9
    firsts = [int(window.split()[1]) for window in windows]
    assert firsts[0] == 0 and "Number 999 is here." in windows[-1]
    assert {later - now for now, later in pairwise(firsts)} == {14, 16}
