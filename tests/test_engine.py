"""The plan of the engine: each text once, packs by tokens, what fails costs its own text."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch

from agent.scoring.engine import Engine, Wait, Want
from agent.scoring.forward import Pack
from agent.scoring.memory import ENTRY_BYTES, Rows
from agent.scoring.models import Model
from agent.scoring.pieces import Pieces, packs
from agent.scoring.vocabulary import Tokens, Vocabulary
from agent.scoring.words import Ids

WORDS = [f"w{at}" for at in range(60)]


def vocabulary() -> Vocabulary:
    """A word tokeniser that puts [CLS] and [SEP] round a text, as BERT's does."""
    known = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(known, "[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return Vocabulary(made)


class Sums:
    """A model whose row is the sum of its tokens, and which remembers the packs it was given."""

    def __init__(self) -> None:
        self.packs: list[tuple[int, ...]] = []
        self.fails: Callable[[Pack], Any] = lambda _: None

    def __call__(self, pack: Pack) -> torch.Tensor:
        self.packs.append(pack.lengths)
        failed = self.fails(pack)
        if failed is not None:
            return failed  # type: ignore[no-any-return]  # what a broken model gives
        parts = torch.split(pack.ids, list(pack.lengths))
        return torch.tensor([[float(one.sum()), float(len(one))] for one in parts])


def model(rows: Callable[[Pack], torch.Tensor], **more: Any) -> Model:
    made = Model("sums", "0", vocabulary(), rows, 2, (), 32, "cpu", 4)
    return replace(made, **more)


def test_models_of_one_vocabulary_tokenise_a_text_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    plain = Vocabulary.ids

    def counted(self: Vocabulary, texts: Sequence[str], *limits: int) -> list[Ids]:
        asked.extend(texts)
        return plain(self, texts, *limits)

    monkeypatch.setattr(Vocabulary, "ids", counted)
    first, second = model(Sums()), model(Sums(), key="another", max_tokens=16)
    long = " ".join(WORDS * 12)  # too long for the second one only
    texts, engine = ["w1", "w2 w3", long], Engine()
    engine.prepare([Want(first, texts), Want(second, texts)])
    assert sorted(asked) == sorted([*texts, long])
    alone = Engine().outputs(second, texts)
    for mine, other in zip(engine.outputs(second, texts), alone, strict=True):
        assert mine.tolist() == other.tolist()


def test_a_model_of_tokens_gives_a_row_a_token_and_is_not_remembered() -> None:
    packs: list[Pack] = []

    def states(pack: Pack) -> torch.Tensor:
        packs.append(pack)
        return torch.stack([pack.ids, pack.positions], 1).float()

    ours, engine = model(states, per_token=True), Engine()
    for _ in range(2):
        first, second = engine.outputs(ours, ["w1 w2 w3", "w4"])
        assert first.tolist() == [[2, 0], [5, 1], [6, 2], [7, 3], [3, 4]]
        assert second.tolist() == [[2, 0], [8, 1], [3, 2]]
    assert len(packs) == 2
    broken = model(lambda pack: torch.zeros(1, 2), per_token=True)
    assert np.isnan(engine.outputs(broken, ["w1 w2"])[0]).all()


def test_a_text_is_run_once_in_a_batch_across_scorers_and_across_batches() -> None:
    rows, engine = Sums(), Engine()
    ours = model(rows)
    engine.prepare([Want(ours, ["w1 w2", "w3", "w1 w2"]), Want(ours, ["w3", "w4"])])
    assert sum(map(len, rows.packs)) == 3
    given = engine.outputs(ours, ["w4", "w1 w2", "w3", "w5"])
    assert sum(map(len, rows.packs)) == 4
    assert [float(one[0, 0]) for one in given] == [13.0, 16.0, 12.0, 14.0]
    other = model(rows, key="another")
    assert len(engine.outputs(other, ["w4"])) == 1 and sum(map(len, rows.packs)) == 5
    assert engine.outputs(ours, []) == []


def test_an_embedding_is_run_alone_where_nothing_else_ran_its_text() -> None:
    heads, alone = Sums(), Sums()
    lone = model(alone, key="alone", columns=2, max_tokens=6)
    suite = model(
        lambda pack: torch.cat([torch.zeros(len(pack.lengths), 1), heads(pack)], 1),
        columns=3, labels=("a",), embedding=lone,
    )  # fmt: skip
    engine = Engine()
    engine.prepare([Want(suite, ["w1 w2"]), Want(suite, ["w1 w2", "w3"], embedding=True)])
    assert (heads.packs, alone.packs) == ([(4,)], [])
    given = engine.embeddings(suite, ["w3", "w1 w2"])
    assert [one.tolist() for one in given] == [[[12.0, 3.0]], [[16.0, 4.0]]]
    assert (heads.packs, alone.packs) == ([(4,)], [(3,)])
    plain = replace(suite, embedding=None)  # as an int8 twin is: it has no other way
    assert engine.embeddings(plain, ["w4"])[0].tolist() == [[13.0, 3.0]]


def test_the_mean_of_a_texts_states_is_its_embedding_where_it_fits_one_window() -> None:
    alone = Sums()
    lone = model(alone, key="alone", max_tokens=4)
    states = model(
        lambda pack: torch.stack([pack.ids, pack.positions], 1).float(),
        key="states", per_token=True, embedding=lone,
    )  # fmt: skip
    suite, engine = model(Sums(), embedding=lone), Engine()
    engine.outputs(states, ["w1 w2", "w1 w2 w3"])
    short, long = engine.embeddings(suite, ["w1 w2", "w1 w2 w3"])
    assert short == pytest.approx(np.array([[4.0, 1.5]]) / np.hypot(4.0, 1.5))
    assert len(long) == 2 and alone.packs == [(4, 4)]


def test_what_is_remembered_is_bounded_by_its_bytes() -> None:
    rows = Sums()
    ours, engine = model(rows), Engine(memory_bytes=3 * (8 + ENTRY_BYTES))
    engine.outputs(ours, ["w1", "w2", "w3"])
    engine.outputs(ours, ["w1"])  # the latest now
    engine.outputs(ours, ["w4"])
    engine.outputs(ours, ["w1", "w3", "w4"])
    assert sum(map(len, rows.packs)) == 4
    engine.outputs(ours, ["w2"])
    assert sum(map(len, rows.packs)) == 5


def test_a_batch_larger_than_the_memory_runs_each_text_once() -> None:
    rows, engine = Sums(), Engine(memory_bytes=0)
    ours, texts = model(rows), ["w1", "w2", "w3"]
    with engine.batch():
        engine.prepare([Want(ours, texts)])
        for text in texts * 2:
            engine.outputs(ours, [text])
        engine.embeddings(replace(ours, embedding=model(Sums(), key="alone")), texts)
    assert sum(map(len, rows.packs)) == 3
    engine.outputs(ours, ["w1"])
    assert sum(map(len, rows.packs)) == 4


def test_a_long_text_is_read_in_windows_from_its_start_to_its_end() -> None:
    engine, ours = Engine(), model(Sums())
    assert len(engine.outputs(ours, ["w1 " * 30])[0]) == 1
    assert len(engine.outputs(ours, ["w1 " * 31])[0]) == 2
    # 4 windows of 30 tokens of 1,000: the first and the last words are read.
    long = "w2 " * 20 + "w1 " * 960 + "w3 " * 20
    assert len(engine.outputs(ours, [long])[0]) == 4
    ids = ours.vocabulary.ids([long], 10_000)[0]
    (windows,) = ours.vocabulary.windows([ids], 32, 4)
    assert [*windows[0].ids[:2], *windows[-1].ids[-2:]] == [2, 6, 7, 3]


def test_a_text_is_cut_where_the_whole_text_would_be() -> None:
    words = vocabulary()
    sparse = "w1" + " " * 5_000 + "w2 w3"
    assert words.ids([sparse], 32) == [array("i", [5, 6, 7])]
    # The cut, at 320 characters, falls into the last word that is read: "w12".
    split = "w1        " * 29 + " " * 28 + "w12 w13"
    assert words.ids([split], 32)[0][:31] == words.ids([split], 3_200)[0][:31]
    made = Tokens(array("i", [2, 5, 6, 3, 7, 3]), array("i", [0, 0, 0, 0, 1, 1]))
    assert words.pairs([("w1 w2", "w3")], 32) == [[made]]


def test_packs_keep_the_budget_and_every_piece_and_go_over_chunks() -> None:
    lengths = [5, 300, 12, 5, 7, 2_048, 3_000, 40, 40]
    windows = [[Tokens(array("i", bytes(4 * n)))] for n in lengths]
    chunks = [Pieces.of(range(a, b), windows[a:b]) for a, b in ((0, 2), (2, 9), (9, 9))]
    made = [pack for pack, _ in packs(chunks, lambda: 2_048)]
    assert [pack.texts for pack in made] == [[0, 3, 4, 2, 7, 8, 1], [5], [6]]
    assert [len(one.ids) for pack in made for one in pack.tokens] == [
        n for pack in made for n in pack.lengths
    ]


def test_a_pack_is_full_at_the_edge_of_a_chunk_and_heeds_a_budget_that_falls() -> None:
    def of(*lengths: int) -> Pieces:
        return Pieces.of(range(len(lengths)), [[Tokens(array("i", bytes(4 * n)))] for n in lengths])

    two = [list(pack.lengths) for pack, _ in packs([of(1_000), of(1_500)], lambda: 2_048)]
    assert two == [[1_000], [1_500]]
    budgets = iter([100, 50, 50, 50])
    falling = [list(pack.lengths) for pack, _ in packs([of(50, 50, 50, 50)], lambda: next(budgets))]
    assert falling == [[50, 50], [50], [50]]


def test_windows_of_one_text_stay_in_their_order() -> None:
    ours = model(Sums())
    texts = [" ".join(f"w{1 + (at + part) % 40} " * 30 for part in range(4)) for at in range(40)]
    together = Engine().outputs(ours, texts)
    for text, rows in zip(texts, together, strict=True):
        assert len(rows) == 4 and len({float(row[0]) for row in rows}) == 4
        np.testing.assert_array_equal(rows, Engine().outputs(ours, [text])[0])


def test_out_of_memory_halves_the_pack_and_remembers() -> None:
    rows, engine = Sums(), Engine()

    def too_big(pack: Pack) -> None:
        if len(pack.ids) > 600:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    rows.fails = too_big
    texts = [f"w{at} " * 28 for at in range(60)]
    given = engine.outputs(model(rows), texts)
    assert [int(one[0, 1]) for one in given] == [30] * 60
    assert [int(one[0, 0]) for one in given] == [5 + 28 * (at + 4) for at in range(60)]
    rows.packs.clear()
    engine.outputs(model(rows), [f"{text} w1" for text in texts])
    # Nothing fails any more, and no more was given up than two halvings of 2,048.
    assert max(map(sum, rows.packs)) in range(400, 601)


def test_a_small_pack_that_did_not_fit_leaves_the_others_half_of_their_size() -> None:
    rows, engine = Sums(), Engine()

    def once(_: Pack) -> None:
        if len(rows.packs) == 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    rows.fails = once
    engine.outputs(model(rows), ["w1", "w2"])
    engine.outputs(model(rows), [f"w{at} " * 28 for at in range(40)])
    assert max(map(sum, rows.packs)) in range(900, 1_025)


def test_a_pack_begins_before_the_one_ahead_of_it_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []
    begin = Engine._begin

    def logged(self: Engine, asked: Model, pack: Pieces) -> Wait:
        order.append("begin")
        wait = begin(self, asked, pack)

        def waited() -> Rows:
            order.append("wait")
            return wait()

        return waited

    monkeypatch.setattr(Engine, "_begin", logged)
    texts = [f"w{at} " * 28 for at in range(150)]  # three packs of 2,048 tokens
    given = Engine().outputs(model(Sums()), texts)
    assert order == ["begin", "begin", "wait", "begin", "wait", "wait"]
    assert [int(one[0, 1]) for one in given] == [30] * 150


def test_an_accelerator_that_failed_ends_the_process() -> None:
    rows = Sums()

    def sticky(_: Pack) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    rows.fails = sticky
    with pytest.raises(SystemExit) as ended:
        Engine().outputs(model(rows), ["w1"])
    assert ended.value.code == 70


def test_rows_of_a_wrong_shape_are_no_numbers() -> None:
    rows = Sums()
    rows.fails = lambda pack: torch.zeros(len(pack.lengths), 3)
    given = Engine().outputs(model(rows), ["w1", "w2"])
    assert all(np.isnan(one).all() and one.shape == (1, 2) for one in given)


def test_time_is_told_waiting_apart_from_computing() -> None:
    heard: list[str] = []
    engine = Engine()
    engine.on_time = lambda stage, seconds: heard.append(stage) if seconds >= 0 else None
    engine.outputs(model(Sums()), ["w1"])
    assert heard == ["tokenise", "queue", "compute"]
