"""A local model asked in batches, with transformers' own generation as the oracle."""

import asyncio
import json
import math
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="transformers is not installed")
import torch

from agent.errors import BadConfig
from agent.record import Answer, Call, Message
from shadow.gathering import Gathered
from shadow.local import LocalModel, Question
from tests.tiny import SHAPES, WORDS, make_folder

LENGTHS = (1, 30, 3, 17, 9, 24, 2, 12, 5, 21, 8, 14)


def calls(n: int = 12, **parameters: object) -> list[Call]:
    """Questions of different lengths."""
    given = tuple(parameters.items())
    return [
        Call(str(i), 0.0, "m", prompt=" ".join(WORDS[(i * 7 + j * (i + 3)) % 90] for j in range(k)),
             parameters=given)
        for i, k in enumerate(LENGTHS[:n])
    ]  # fmt: skip


def said(answers: list[Answer]) -> list[object]:
    """What of an answer must not depend on its neighbours."""
    return [(a.status, a.text, a.finish, a.tokens_in, a.tokens_out) for a in answers]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other take longer over so small a model than its work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    folder = make_folder(tmp_path_factory.mktemp("model"), request.param)
    return LocalModel("shadow.candidates.x.folder", folder, answer_tokens=14)


def test_a_batch_says_what_transformers_says_one_at_a_time(model: LocalModel) -> None:
    answers = model.ask(calls())
    for call, given in zip(calls(), answers, strict=True):
        question = model.read(call)
        assert isinstance(question, Question)
        ids = torch.tensor([question.ids])
        made = model._model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
            max_new_tokens=14, pad_token_id=0,
        )[0, len(question.ids) :]  # fmt: skip
        assert given.text == model._tokenizer.decode(made, skip_special_tokens=True)
        assert (given.tokens_in, given.tokens_out) == (len(question.ids), len(made))
        assert given.finish == ("stop" if int(made[-1]) == 2 else "length")
        assert given.status == "ok" and given.latency_s is not None and given.ttft_s is not None
        assert 0 < given.ttft_s <= given.latency_s
    assert len({one.text for one in answers}) > 8, "one answer to all questions proves nothing"


@pytest.mark.parametrize("temperature", [0, 0.9])
def test_neighbours_and_order_change_nothing(model: LocalModel, temperature: float) -> None:
    mine = calls(temperature=temperature, top_p=0.8, seed=7)
    together = model.ask(mine)
    assert said(together) == said([model.ask([one])[0] for one in mine])
    assert said(together) == said(model.ask(mine[::-1])[::-1])


def test_the_parameters_of_the_request_are_used(model: LocalModel) -> None:
    def ask(**given: object) -> Answer:
        return model.ask([Call("1", 0.0, "m", prompt="w1 w2", parameters=tuple(given.items()))])[0]

    greedy = ask()
    assert ask(temperature=0, seed=5).text == greedy.text
    assert ask(temperature=1.5, top_p=1e-9).text == greedy.text
    drawn = {ask(temperature=1.5, seed=seed).text for seed in range(6)}
    assert len(drawn) > 3 and ask(temperature=1.5, seed=0).text in drawn
    assert ask(temperature=1.5).text == ask(temperature=1.5).text, "drawn by the call's id"
    short = ask(max_tokens=2)
    assert (short.tokens_out, short.finish) in ((2, "length"), (1, "stop"))
    assert ask(max_completion_tokens=2).tokens_out == short.tokens_out
    assert said(model.ask(calls(3, temperature=1e-40))) == said(model.ask(calls(3, temperature=0)))
    # As the budget reserves it: no more than that may be said.
    assert ask(max_completion_tokens=2, max_tokens=14).tokens_out == short.tokens_out
    read = model.read(calls(1, max_tokens=90.0)[0])
    assert isinstance(read, Question) and read.most == 14


def test_it_ends_where_a_stop_text_begins(model: LocalModel) -> None:
    mine = calls()
    at, long = next((i, a) for i, a in enumerate(model.ask(mine)) if (a.tokens_out or 0) > 6)
    words = (long.text or "").split()
    (stopped,) = model.ask([calls(stop=[words[3]])[at]])
    at = words.index(words[3])
    assert (stopped.text or "").split() == words[:at]
    assert (stopped.finish, stopped.tokens_out) == ("stop", at + 1)


def test_the_generation_config_of_the_folder_holds_where_a_call_says_nothing(
    tmp_path: Path,
) -> None:
    drawing = LocalModel("k", make_folder(tmp_path, do_sample=True, temperature=1.7), 10)
    silent = drawing.read(calls(1)[0])
    told = drawing.read(calls(1, temperature=0)[0])
    assert isinstance(silent, Question) and isinstance(told, Question)
    assert (silent.temperature, told.temperature) == (1.7, 0)


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (Call("a", 0.0, "m", prompt="w1 " * 125),
         "not asked: 128 tokens, where the model reads 128"),
        (Call("b", 0.0, "m"), "not asked: no text"),
        (Call("c", 0.0, "m", messages=(Message("tool", "w1"),)), "not asked: no tools here"),
        (Call("d", 0.0, "m", prompt="w1", parameters=(("temperature", "hot"),)),
         "not asked: temperature is no number"),
        (Call("e", 0.0, "m", prompt="w1", parameters=(("top_p", -1),)),
         "not asked: top_p is negative"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_says_why_and_costs_its_neighbours_nothing(
    model: LocalModel, call: Call, why: str
) -> None:
    first, refused, last = model.ask([calls()[0], call, calls()[1]])
    assert (refused.status, refused.error, refused.text) == ("error", why, None)
    assert said([first, last]) == said(model.ask(calls(2)))


def test_messages_go_through_the_template_and_without_one_as_they_are(tmp_path: Path) -> None:
    turns = (Message("system", "w1"), Message("user", "w2"))
    call = Call("a", 0.0, "m", prompt="w2", messages=turns)
    wanted = {"chat": "<s> system w1 <s> user w2 </s>", "plain": "w1 w2"}
    for name, text in wanted.items():
        template = {"template": None} if name == "plain" else {}
        made = LocalModel("k", make_folder(tmp_path / name, **template))  # type: ignore[arg-type]  # one keyword of its own type
        question = made.read(call)
        assert isinstance(question, Question)
        assert made._tokenizer.decode(question.ids) == text


def test_an_answer_that_takes_too_long_is_a_timeout(tmp_path: Path) -> None:
    slow = LocalModel("k", make_folder(tmp_path), 100, timeout_s=0.0)
    answer = slow.ask(calls()[1:2])[0]
    assert (answer.status, answer.text, answer.tokens_out) == ("timeout", None, 1)


def test_a_batch_holds_the_oldest_and_those_nearest_it_in_length(model: LocalModel) -> None:
    def asked(*sizes: int, most: int = 10) -> list[Question]:
        return [Question((5,) * size, most, 0.0, 1.0, 0) for size in sizes]

    waiting = asked(50, 1, 900, 49, 2, 51, 800, 48, 52, 47, 53)
    assert sorted(model.together(waiting)) == [0, 3, 4, 5, 7, 8, 9, 10]
    big = asked(9_000, 9_000, 10)
    assert model.together(big) == [0], "18,000 tokens are beyond the budget of 16,384"
    assert model.together(asked(*[10] * 20)) == list(range(8))


def test_what_does_not_fit_into_memory_is_asked_in_halves(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, whole, fits = said(model.ask(calls())), model._generate, 2

    def tight(questions: Sequence[Question]) -> object:
        if len(questions) > fits:
            raise torch.cuda.OutOfMemoryError
        return whole(questions)

    monkeypatch.setattr(model, "_generate", tight)
    assert said(model.ask(calls())) == wanted
    fits = 0
    (lost,) = model.ask(calls(1))
    assert (lost.status, lost.error) == ("error", "out of memory")


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    def refusal(folder: Path) -> str:
        with pytest.raises(BadConfig) as caught:
            LocalModel("shadow.candidates.x.folder", folder)
        line = str(caught.value)
        assert line.startswith("shadow.candidates.x.folder: ") and "\n" not in line
        return line

    assert "has no config.json" in refusal(tmp_path / "nowhere")
    pickled = make_folder(tmp_path / "pickled")
    torch.save({}, pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    assert "safetensors" in refusal(pickled)
    lacking = make_folder(tmp_path / "lacking")
    config = json.loads((lacking / "config.json").read_text())
    (lacking / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    assert "has no weight model.layers.2" in refusal(lacking)
    foreign = make_folder(tmp_path / "foreign")
    own = {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}
    (foreign / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": own}))
    (foreign / "own.py").write_text("raise SystemExit('code of the folder was run')\n")
    assert "cannot be loaded" in refusal(foreign)
    wordless = make_folder(tmp_path / "wordless")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (wordless / name).unlink()
    assert "cannot be loaded" in refusal(wordless)


def test_asks_that_wait_are_answered_together(model: LocalModel) -> None:
    sizes: list[int] = []

    class Counting(LocalModel):
        def __init__(self) -> None:
            self.__dict__.update(vars(model))

        def answer(self, questions):  # type: ignore[no-untyped-def]  # as the class above has it
            sizes.append(len(questions))
            return super().answer(questions)

    async def all_at_once() -> list[Answer]:
        gathered = Gathered(Counting())
        given = [asyncio.create_task(gathered.ask(call)) for call in calls()]
        leaver = asyncio.create_task(gathered.ask(calls(1)[0]))
        await asyncio.sleep(0)
        leaver.cancel()
        return list(await asyncio.gather(*given))

    assert said(asyncio.run(all_at_once())) == said(model.ask(calls()))
    assert sizes[0] == 8 and sum(sizes) <= len(calls()) + 1 and len(sizes) == 2


def test_a_batch_that_runs_ends_when_nobody_waits(tmp_path: Path) -> None:
    long = LocalModel("k", make_folder(tmp_path, shape=SHAPES["llama"] | {
        "max_position_embeddings": 4096}), 3000)  # fmt: skip
    long._ends = frozenset()
    ended: list[Answer] = []
    plain, begun = long.answer, threading.Event()

    def answer(questions: Sequence[Question]) -> list[Answer]:
        begun.set()
        ended.extend(plain(questions))
        return ended

    async def leave() -> None:
        gathered = Gathered(long)
        asking = asyncio.create_task(gathered.ask(calls(1)[0]))
        await asyncio.to_thread(begun.wait, 20)
        await gathered.close()
        await asyncio.gather(asking, return_exceptions=True)

    long.answer = answer  # type: ignore[method-assign]  # the same, and kept
    asyncio.run(leave())  # which waits for the batch's thread
    assert [one.status for one in ended] == ["timeout"]


def test_a_model_that_fails_is_a_failed_answer_and_goes_on(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> list[Answer]:
        raise RuntimeError("device lost")

    async def twice() -> tuple[Answer, Answer]:
        gathered = Gathered(model)
        with monkeypatch.context() as patch:
            patch.setattr(model, "answer", broken)
            first = await gathered.ask(calls(1)[0])
        return first, await gathered.ask(calls(1)[0])

    failed, answered = asyncio.run(twice())
    assert (failed.status, failed.error) == ("error", "the model failed: RuntimeError")
    (line,) = [one for one in caplog.records if one.name == "vedette.shadow"]
    assert line.getMessage() == "the model failed: RuntimeError" and line.exc_info is None
    assert answered.status == "ok"
    assert math.isfinite(answered.latency_s or math.nan)
