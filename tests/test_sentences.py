"""A text in windows of sentences: which they are, and what is remembered of them."""

from agent.scoring import sentences
from agent.scoring.sentences import sentence_windows


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
