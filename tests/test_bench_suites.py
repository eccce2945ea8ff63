"""The suites of the engine's benchmark run on whatever is here, a chat being two texts."""

from dataclasses import replace

import pytest

from agent.scoring import bench, bench_suites, folders, models
from agent.scoring.bench import invented_texts, packed
from agent.scoring.engine import Engine, Want


def test_all_suites_are_measured_and_every_model_reads_its_texts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    asked: list[int] = []
    prepare = Engine.prepare

    def counted(engine: Engine, wants: list[Want]) -> None:
        asked.append(sum(len(want.texts) for want in wants))
        prepare(engine, wants)

    monkeypatch.setattr(Engine, "prepare", counted)
    found = bench_suites.measure_suites(rounds=1, chats=2)
    assert [suite.chats_s > 0 for suite in found] == [True] * 3
    assert len({suite.name for suite in found}) == 3
    # By one model; by three models and by two; by one. The first round is not told.
    assert asked == [2 * 2, 2 * 5, 2 * 2] * 2


def embedded(device: str) -> bench_suites.Suites:
    model = models.load_suite(folders.Source("test", device=device))
    return {"one": ([model], [model]), bench_suites._FREE: ([model], [model])}


def test_processes_that_share_a_machine_are_counted_together() -> None:
    (found,) = bench_suites.measure_shared(embedded, processes=2, chats=2, rounds=1)
    assert found.name == "one, 2 processes" and found.chats_s > 0


def test_what_a_way_leaves_out_does_not_count_to_its_share_of_the_peak() -> None:
    folder = str(folders.shipped("test"))
    model = models.load_embedder(folders.Source("test", folder, device="cpu"))
    layers, width, inner = 2, 4, 8
    runs: dict[str, bench.Run] = {"vedette": list, "theirs": list}

    def counts(one: models.Model) -> list[float]:
        rated = bench._rated("m", (layers, width, inner), one, ["Why?"], runs)
        return [rated["m", way][2] for way in runs]

    tokens, a_token = 4, 2 * (4 * width**2 + 2 * width * inner)  # with the marks of both ends
    whole = layers * (tokens * a_token + 4 * tokens**2 * width)
    assert counts(model) == [whole, whole]
    # Query, key and value of each token remain of the last layer, and all of the first one.
    spared = (tokens - 1) * (a_token - 2 * 3 * width**2)
    assert counts(replace(model, labels=("bad",))) == [whole - spared, whole]


def test_the_forward_pass_alone_is_of_every_text_once() -> None:
    model = models.load_embedder(folders.Source("test", device="cpu"))
    texts = invented_texts(20, seed=1)
    made = packed(model, texts, 600)
    sizes = [min(len(ids) + 2, 512) for ids in model.vocabulary.ids(texts, 512)]
    assert [length for one in made for length in one.lengths] == sorted(sizes)
    tokens = [len(one.ids) for one in made]
    assert max(tokens) <= 600 and len(made) <= 2 * sum(sizes) / 600 + 1
    assert all(model.rows(one).shape == (len(one.lengths), model.columns) for one in made)
