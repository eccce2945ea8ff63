"""A local model as it is, in another precision, in eight bits and compiled: the same questions."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="transformers is not installed")
import torch

from agent.errors import BadConfig
from agent.record import Answer, Call
from shadow.loading import Loading, load
from shadow.local import LocalModel
from tests.test_local import calls
from tests.tiny import make_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("variants"))


def answers(folder: Path, how: Loading, asked: list[Call]) -> list[Answer]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return LocalModel("targets.mine.folder", folder, 10, how=how).ask(asked)
    finally:
        torch.set_num_threads(threads)


def same(some: list[Answer], others: list[Answer]) -> float:
    """The share of equal answers."""
    return sum(a.text == b.text for a, b in zip(some, others, strict=True)) / len(some)


def logits(folder: Path, how: Loading) -> torch.Tensor:
    _, model = load("targets.mine.folder", folder, "cpu", how)
    with torch.inference_mode():
        made: torch.Tensor = model(input_ids=torch.tensor([[4, 9, 14, 3, 60]])).logits.float()
    return made


def test_half_precision_is_near_and_not_equal(folder: Path) -> None:
    plain, half = logits(folder, Loading()), logits(folder, Loading(dtype="bfloat16"))
    off = float((plain - half).abs().max() / plain.abs().max())
    assert 0 < off < 0.05
    asked = calls()
    given = answers(folder, Loading(dtype="bfloat16"), asked)
    assert all(one.status == "ok" for one in given)
    assert same(given, answers(folder, Loading(), asked)) > 0.5


def test_int8_keeps_the_linear_layers_in_a_quarter(folder: Path) -> None:
    plain, eight = logits(folder, Loading()), logits(folder, Loading(quantise="int8"))
    off = float((plain - eight).abs().max() / plain.abs().max())
    assert 0 < off < 0.2
    _, model = load("targets.mine.folder", folder, "cpu", Loading(quantise="int8"))
    kinds = {type(one).__module__ for one in model.modules() if "Linear" in type(one).__name__}
    assert kinds and all("quantized" in kind for kind in kinds)
    given = answers(folder, Loading(quantise="int8"), calls())
    assert all(one.status == "ok" and one.tokens_out for one in given)


@pytest.mark.prove
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
def test_a_compiled_model_says_what_the_plain_one_says(folder: Path) -> None:
    compiled, plain = (answers(folder, how, calls(6)) for how in (Loading(compile=True), Loading()))
    assert same(compiled, plain) == 1


def test_what_cannot_be_had_is_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(how: Loading, folder: Path = folder, device: str = "cpu") -> str:
        with pytest.raises(BadConfig) as caught:
            load("targets.mine.folder", folder, device, how)
        return str(caught.value)

    both = refused(Loading(dtype="bfloat16", quantise="int8"))
    assert both == "targets.mine.quantise: int8 is made of float32, not of bfloat16"
    gpt2 = make_folder(tmp_path / "gpt2", "gpt2")
    assert "GPT2LMHeadModel has no linear layers" in refused(Loading(quantise="int8"), gpt2)
    assert "int8 runs on a CPU, and this model on meta" in refused(
        Loading(quantise="int8"), device="meta"
    )
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    line = refused(Loading(compile=True))
    assert line.startswith("targets.mine.compile: torch.compile needs a C++ compiler, and no-such")
