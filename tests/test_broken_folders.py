"""Folders that cannot be a model: the line that refuses them names the file."""

import json
import math
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from agent.errors import BadConfig
from agent.scoring import Options, load
from tests.test_scoring_models import config, tokenizer, transformers


def save_classifier(folder: Path) -> Path:
    """A folder of a classifier of random weights and three labels without names."""
    torch.manual_seed(7)
    transformers.BertForSequenceClassification(config(num_labels=3)).save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_classifier(tmp_path)


def refused(folder: Path, device: str = "cpu") -> str:
    """The line that refuses a folder, by its place FOLDER."""
    with pytest.raises(BadConfig) as caught:
        load("toxicity", Options(str(folder), device=device))
    return str(caught.value).replace(str(folder), "FOLDER")


def edit(file: Path, **change: Any) -> None:
    """Change keys of a file of JSON; None takes one away."""
    told = json.loads(file.read_text()) | change
    file.write_text(json.dumps({key: value for key, value in told.items() if value is not None}))


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("config.json", None, "is not there"),
        ("config.json", "{", "cannot be loaded: Expecting"),
        ("config.json", "{}", "has no model_type"),
        ("config.json", {"num_hidden_layers": None}, "has no num_hidden_layers"),
        ("model.safetensors", "x" * 20, "cannot be loaded: "),
        ("tokenizer.json", "{", "cannot be loaded: "),
        (
            "tokenizer.json",
            {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
            "cannot be loaded: Precompiled",
        ),
    ],
)
def test_what_cannot_be_read_is_named(
    folder: Path, file: str, content: str | dict[str, Any] | None, problem: str
) -> None:
    if content is None:
        (folder / file).unlink()
    elif isinstance(content, str):
        (folder / file).write_text(content)
    else:
        edit(folder / file, **content)
    assert refused(folder).startswith(f"scorers.toxicity.model: FOLDER/{file} {problem}")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"num_attention_heads": 5}, "its 5 heads do not divide its width, 16"),
        ({"hidden_size": 32}, "its configuration has width 32, its weights 16"),
        ({"id2label": dict(enumerate("abcde"))}, "it names 5 labels and has 3 outputs"),
        ({"max_position_embeddings": 512}, "512 tokens need 512 positions, its weights have 32"),
        ({"max_position_embeddings": 2}, "it reads 2 tokens at a time, 2 of which stand round"),
    ],
)
def test_a_configuration_that_does_not_fit_its_weights_is_refused(
    folder: Path, change: dict[str, Any], problem: str
) -> None:
    edit(folder / "config.json", **change)
    line = f"scorers.toxicity.model: FOLDER cannot be loaded: {problem}"
    assert refused(folder).startswith(line)


@pytest.mark.parametrize(
    ("weight", "shape", "problem"),
    [
        ("bert.embeddings.word_embeddings.weight", (60, 16), "ids up to 63, its weights 60 words"),
        ("classifier.weight", (3, 8), "two short texts cannot be run by it: mat1 and mat2 "),
        ("bert.embeddings.token_type_embeddings.weight", (0, 16), "cannot be run by it: "),
        ("classifier.bias", (3,), "it gives no numbers for two short texts"),
    ],
)
def test_weights_that_cannot_read_a_text_are_refused(
    folder: Path, weight: str, shape: tuple[int, ...], problem: str
) -> None:
    weights = load_file(folder / "model.safetensors")
    weights[weight] = torch.full(shape, math.nan)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert problem in refused(folder)


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("modules.json", "[{", "cannot be loaded: "),
        ("1_Pooling/config.json", None, "is not there"),
        ("1_Pooling/config.json", '{"pooling_mode": "cl', "cannot be loaded: "),
        ("1_Pooling/config.json", "[]", "holds no object"),
        ("sentence_bert_config.json", '{"max_seq', "cannot be loaded: "),
        ("tokenizer_config.json", "", "cannot be loaded: "),
    ],
)
def test_an_incomplete_copy_is_no_model_with_other_settings(
    folder: Path, file: str, content: str | None, problem: str
) -> None:
    kinds = [
        {"type": f"sentence_transformers.models.{kind}"} for kind in ("Transformer", "Pooling")
    ]
    (folder / "modules.json").write_text(json.dumps(kinds))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode": "cls"}')
    assert load("relevance", Options(str(folder), device="cpu"))
    (folder / file).unlink() if content is None else (folder / file).write_text(content)
    line = rf"^scorers\.relevance\.model: {folder}/{file} {problem}"
    with pytest.raises(BadConfig, match=line):
        load("relevance", Options(str(folder), device="cpu"))


@pytest.mark.parametrize(
    ("shut", "file"),
    [
        ("model.safetensors", "model.safetensors"),
        ("tokenizer.json", "tokenizer.json"),
        ("", "model.safetensors"),
    ],
)
def test_what_this_user_may_not_read_is_named(folder: Path, shut: str, file: str) -> None:
    refused(folder)  # imports what nobody may not
    nobody, me = 65_534, os.geteuid()
    with TemporaryDirectory() as made:  # not below tmp_path, which is its user's alone
        there = save_classifier(Path(made))
        for each in (there, *there.iterdir()):
            each.chmod(0o755)
        (there / shut).chmod(0)
        if me == 0:
            os.seteuid(nobody)
        try:
            line = f"scorers.toxicity.model: FOLDER/{file} cannot be loaded: [Errno 13]"
            assert refused(there).startswith(line)
        finally:
            os.seteuid(me)
            (there / shut).chmod(0o755)
