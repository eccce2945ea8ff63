"""Long contexts and answers: what a cross-encoder reads of them, and which scores say so."""

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers as untyped
import torch

from agent.record import Call, Score
from agent.scoring import Options, folders, load
from agent.scoring.engine import Engine
from agent.scoring.memory import Rows
from agent.scoring.models import Model
from agent.scoring.sentences import fitting_windows
from agent.scoring.vocabulary import Text, Vocabulary
from tests.test_scoring_models import config, tokenizer, transformers

tokenizers: Any = untyped
FILLER = "w1 w2 w3 w4 w5"  # and a full stop: six tokens of 32


class Reader(Engine):
    """Says that a text supports another whose words it has, of what the model is given of both."""

    def outputs(self, model: Model, texts: Sequence[Text]) -> list[Rows]:
        pairs = [text for text in texts if isinstance(text, tuple)]
        assert len(pairs) == len(texts) <= 2 * 64
        rows = []
        for made, pair in zip(model.vocabulary.pairs(pairs, model.max_tokens), pairs, strict=True):
            assert made == model.vocabulary.pairs([pair], 10_000)[0], "something was cut"
            sides: tuple[set[int], set[int]] = (set(), set())
            for one, side in zip(made[0].ids, made[0].types or array("i"), strict=True):
                sides[side].add(one)
            rows.append(np.array([[20 if sides[1] <= sides[0] else -20, 0, 0]], np.float32))
        return rows


@pytest.fixture
def crossed(tmp_path: Path) -> Any:
    """Score an answer against contexts by a cross-encoder of 32 tokens."""
    torch.manual_seed(7)
    named = {"id2label": dict(enumerate(["entailment", "neutral", "contradiction"]))}
    transformers.BertForSequenceClassification(config(**named)).save_pretrained(tmp_path)
    tokenizer().save(str(tmp_path / "tokenizer.json"))
    scorer = load("groundedness", Options(str(tmp_path), device="cpu", engine=Reader()))

    def score(response: str, *contexts: str) -> tuple[float, str | None]:
        call = Call("c", 0.0, "m", response=response, contexts=contexts)
        (found,) = scorer.score([call])["response_groundedness"]
        assert found.value is not None
        return round(found.value, 6), found.why

    return score


def test_a_sentence_at_the_tail_of_a_long_context_supports_its_claim(crossed: Any) -> None:
    claim = "w58 w59."
    assert crossed(claim, f"{FILLER}. {claim}") == (1.0, None)
    assert crossed(claim, f"{FILLER}.", f"{FILLER}. {FILLER}.") == (0.0, None)
    # Two sentences, each of which fits alone: neither is cut.
    long = ", ".join([FILLER] * 3)
    assert crossed(claim, f"{long}. {long}, {claim}") == (1.0, None)
    # One that does not fit.
    assert crossed(claim, ", ".join([FILLER] * 20) + f" {claim}") == (1.0, "windows")
    # As many as four windows hold, read whole, and more than all of them do.
    assert crossed(claim, f"{FILLER}. " * 90 + claim) == (1.0, None)
    assert crossed(claim, f"{FILLER}. " * 900 + claim) == (1.0, "windows")
    assert crossed(claim, claim, f"{FILLER}. " * 900) == (1.0, "windows")


def test_all_of_a_long_sentence_of_an_answer_is_held_against_the_contexts(crossed: Any) -> None:
    context = f"{FILLER}. w6 w7 w8 w9. w58."
    assert crossed("w1 w2 w3. w6 w7.", context) == (1.0, None)
    short, long = "w6 w7 w8 w9 " * 3, "w6 w7 w8 w9 " * 12
    assert crossed(f"{short}.", context) == (1.0, None)
    assert crossed(f"{long}.", context) == (1.0, "windows")
    value, why = crossed(f"{long}{'w50 ' * 48}.", context)
    assert 0.3 < value < 0.7 and why == "windows"
    # Beside a long sentence there is less room for a window.
    assert crossed(f"{short}. w58 w59.", ", ".join([FILLER] * 3) + " w58 w59.")[0] == 0.5


def _trained(model: Any, trainer: Any, split: Any) -> Any:
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = split
    made.train_from_iterator(["the quick brown fox jumps over the lazy dog"] * 9, trainer)
    made.add_special_tokens(["<s>", "</s>"])
    around = [("<s>", made.token_to_id("<s>")), ("</s>", made.token_to_id("</s>"))]
    made.post_processor = tokenizers.processors.RobertaProcessing(around[1], around[0])
    return made


def _vocabularies() -> dict[str, Any]:
    trainers, splits = tokenizers.trainers, tokenizers.pre_tokenizers
    bytes_ = splits.ByteLevel.alphabet()
    return {
        "words": tokenizers.Tokenizer.from_file(str(folders.shipped("x") / "tokenizer.json")),
        "bytes": _trained(
            tokenizers.models.BPE(),
            trainers.BpeTrainer(vocab_size=300, initial_alphabet=bytes_, show_progress=False),
            splits.ByteLevel(add_prefix_space=False),
        ),
        "pieces": _trained(
            tokenizers.models.Unigram(),
            trainers.UnigramTrainer(
                vocab_size=60, unk_token="<u>", special_tokens=["<u>"], show_progress=False
            ),
            splits.Metaspace(),
        ),
    }


@pytest.mark.parametrize("kind", ["words", "bytes", "pieces"])
def test_a_window_and_a_sentence_fit_by_tokenisers_of_every_kind(kind: str) -> None:
    made = Vocabulary(_vocabularies()[kind])
    room = made.room_of_pairs(64)
    claim = "The lazy dog jumps."
    left = room - made.counts([claim], room)[0]
    text = "The quick fox. Unusual zebras, 42 of them! " * 9 + "\u5c71\u5ddd\U0001f98a" * 90
    text += "quick brown " * 50 + "x" * 300
    # Short of characters and long of tokens; and a token more in front of each sentence but one.
    for one in (text, "\U0001f98a" * 20, "Qx. " * 1_000):
        windows, cut = fitting_windows(one, 2, left, lambda texts: made.counts(texts, room))
        pairs = [(window, claim) for window in windows]
        assert made.pairs(pairs, 64) == made.pairs(pairs, 10_000)
        if one is text:
            assert cut and "".join("".join(windows).split()) == "".join(text.split())
            # Nor are they smaller than they need be.
            assert max(len(read.ids) for (read,) in made.pairs(pairs, 64)) > 55


def test_what_the_embedded_model_reads_in_windows_is_said() -> None:
    short = "The sky is blue."
    scorer = load("groundedness", Options(device="cpu"))
    long = "the sky is blue and the sea is green and " * 40
    asked = [(short, (short, f"{short} " * 150)), (short, (short, long)), (long, (short,))]
    calls = [Call("c", 0.0, "m", response=one, contexts=others) for one, others in asked]
    row = scorer.score(calls)["response_groundedness"]
    assert [score.why for score in row] == [None, "windows", "windows"]
    assert row[0] == Score(1.0)
