"""Texts to ids: words that are looked up, with the tokeniser itself as the oracle."""

from array import array
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tokenizers as untyped
from hypothesis import given
from hypothesis import strategies as st

from agent.scoring import folders, words
from agent.scoring.vocabulary import Vocabulary

tokenizers: Any = untyped
FILE = str(folders.shipped("test") / "tokenizer.json")
ORACLE = tokenizers.Tokenizer.from_file(FILE)
ORACLE.no_padding()
ORACLE.no_truncation()
WORDS = Vocabulary(tokenizers.Tokenizer.from_file(FILE))
# What a tokeniser might read across a space, beside all of Unicode.
ODD = " \t\n\r\x0b\x0c\x1c\x85\xa0\u2028\u3000\u200b\u0301\u0345\ufffd\0['.,!]Σς東İ#CLSEPMAK"


def plainly(texts: Sequence[str]) -> list[list[int]]:
    """What the tokeniser says of whole texts."""
    clean = [text.encode("utf-8", "replace").decode() for text in texts]
    return [one.ids for one in ORACLE.encode_batch(clean, add_special_tokens=False)]


@given(st.lists(st.text(st.sampled_from(ODD) | st.characters()), max_size=5))
def test_words_that_are_looked_up_are_what_the_tokeniser_says(texts: list[str]) -> None:
    assert [one.tolist() for one in WORDS.ids(texts, 10_000)] == plainly(texts)


def test_special_tokens_in_a_text_are_found_in_and_between_words() -> None:
    texts = ["a [SEP] b", "a[SEP]b", "[CLS][MASK]", "[ SEP ]", "x" * 200 + " y", "", " ", "\n\n"]
    assert [one.tolist() for one in WORDS.ids(texts, 10_000)] == plainly(texts)


def test_words_are_forgotten_when_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_ROWS", 8)
    monkeypatch.setattr(words, "_OTHER_BYTES", 40)
    made = Vocabulary(tokenizers.Tokenizer.from_file(FILE))
    assert made._words is not None
    # More at once than there are rows, a long one, and those that were forgotten meanwhile.
    for texts in (["a b c d e f g h i j"], ["x" * 60], ["one two", "four five"], ["six one", "a"]):
        assert [one.tolist() for one in made.ids(texts, 99)] == plainly(texts)
        assert made._words._used <= 8
    assert made._words._used <= 4 and not made._words._others


def test_words_that_share_a_row_are_told_apart() -> None:
    made = Vocabulary(tokenizers.Tokenizer.from_file(FILE))
    assert made._words is not None
    made._words._mix = [np.uint64(0)] * 2
    texts = [" ".join(f"w{at}" for at in range(40))] * 2
    assert [one.tolist() for one in made.ids(texts, 999)] == plainly(texts)
    # Nobody looks further than so many rows.
    assert made._words._used == words._TRIES and len(made._words._others) == 40 - words._TRIES


def test_a_zero_byte_behind_a_word_makes_another_word_of_it() -> None:
    made = tokenizers.Tokenizer.from_file(FILE)
    made.no_padding()
    made.normalizer = tokenizers.normalizers.BertNormalizer(clean_text=False)
    texts = ["a", "a\0", "\0", "a\0b", "\0a", "sixteen letters!\0"]
    plain = [one.ids for one in made.encode_batch(texts, add_special_tokens=False)]
    assert plain[0] != plain[1]
    assert [one.tolist() for one in Vocabulary(made).ids(texts, 99)] == plain


def test_texts_that_are_read_at_once_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_SLICE_BYTES", 10)
    texts = ["", "one", " two  three", "", "a longer text than a slice", "four\n", "\n", "five six"]
    assert [one.tolist() for one in WORDS.ids(texts, 99)] == plainly(texts)
    assert WORDS.ids([], 99) == []


def test_threads_may_ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_ROWS", 64)
    made = Vocabulary(tokenizers.Tokenizer.from_file(FILE))
    asked = [[f"{a} {b} of {a + b}" for b in range(12)] for a in range(40)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda texts: made.ids(texts, 99), asked))
    for texts, one in zip(asked, found, strict=True):
        assert [ids.tolist() for ids in one] == plainly(texts)


@pytest.mark.parametrize(
    "change",
    [
        lambda made: setattr(made, "normalizer", tokenizers.normalizers.NFC()),
        lambda made: setattr(made, "pre_tokenizer", tokenizers.pre_tokenizers.Metaspace()),
        lambda made: made.add_tokens([tokenizers.AddedToken("<x>", lstrip=True)]),
        lambda made: made.add_tokens(["two words"]),
    ],
)
def test_a_tokeniser_that_may_look_beyond_a_space_reads_whole_texts(change: Any) -> None:
    made = tokenizers.Tokenizer.from_file(FILE)
    change(made)
    assert Vocabulary(made)._words is None


def test_slices_of_a_long_text_are_spread_from_its_start_to_its_end() -> None:
    text = " ".join(f"{at}" for at in range(100_000))
    (found,) = WORDS.ids([text], 2_048, slices=16)
    read = [ORACLE.id_to_token(one) for one in found]
    assert read[0] == "0" and len(found) >= 2_048
    (last,) = WORDS.ids(["99999"], 9)
    assert found[-len(last) :] == last
    # Cut between words, so that each number that is read is whole: its slices rise.
    joined = " ".join(read).replace(" ##", "").split()
    numbers = [int(one) for one in joined]
    assert numbers == sorted(numbers) and max(np.diff(numbers)) < 8_000
    # One slice is the beginning, and what has few tokens is read whole.
    assert WORDS.ids([text], 99)[0][:99] == WORDS.ids([text[:600]], 999)[0][:99]
    (japanese,) = WORDS.ids(["\u5c71" * 50_000 + "\u5ddd"], 2_048, slices=16)
    assert japanese[-1:] == WORDS.ids(["\u5ddd"], 9)[0]
    assert WORDS.ids(["one" + " " * 90_000 + "two"], 2_048, slices=16) == WORDS.ids(["one two"], 9)


def test_a_pair_is_read_as_the_tokeniser_reads_it_whole() -> None:
    # The oracle takes the square of their length: 18 s of 9,000 characters.
    long, gaps, japanese = "one two " * 200, "one" + " " * 9_000 + "two three", "\u5c71" * 1_600
    whole = tokenizers.Tokenizer.from_str(ORACLE.to_str())
    whole.enable_truncation(64)
    pairs = [(a, b) for a in (long, gaps, japanese, "x") for b in (long, gaps, japanese, "x")]
    for (made,), one in zip(WORDS.pairs(pairs, 64), whole.encode_batch(pairs), strict=True):
        assert (made.ids.tolist(), made.types) == (one.ids, array("i", one.type_ids))


def test_ids_are_of_32_bits() -> None:
    assert WORDS.ids(["a word"], 9)[0].itemsize == array("i").itemsize == 4
