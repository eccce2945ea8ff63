"""Folders of models as others saved them: what they ask for, and what is refused of them."""

import hashlib
import inspect
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from agent.config import load_config
from agent.errors import BadConfig
from agent.record import Call
from agent.scoring import Options, load
from agent.scoring.classifiers import load_classifier
from agent.scoring.engine import Engine
from agent.scoring.folders import Source
from agent.scoring.models import load_embedder
from consumers.commands import check
from tests.test_broken_folders import edit, refused, save_classifier
from tests.test_scoring_models import (
    CLASSES,
    TEXTS,
    WORDS,
    config,
    detoxify,
    tokenizer,
    transformers,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_classifier(tmp_path)


@pytest.mark.parametrize("mode", ["mean", "cls", "max", ["cls", "mean"]])
def test_a_folder_that_sentence_transformers_saved_is_pooled_and_cut_as_there(
    tmp_path: Path, mode: str | list[str]
) -> None:
    library = pytest.importorskip("sentence_transformers", reason="the oracle is not installed")
    modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
    torch.manual_seed(3)
    transformers.BertModel(config()).save_pretrained(tmp_path / "plain")
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(), pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(tmp_path / "plain")
    encoder = modules.Transformer(str(tmp_path / "plain"), max_seq_length=16)
    whole = [encoder, modules.Pooling(16, pooling_mode=mode)]
    oracle = library.SentenceTransformer(modules=whole, device="cpu")
    oracle.save(str(tmp_path / "saved"))
    source = Source("relevance", str(tmp_path / "saved"), device="cpu")
    if mode not in ("mean", "cls"):
        with pytest.raises(BadConfig, match=r"its (max|cls and mean) pooling is not supported"):
            load_embedder(source)
        return
    model = replace(load_embedder(source), windows=1)
    given = np.concatenate(Engine().outputs(model, TEXTS))
    assert np.abs(given - oracle.encode(TEXTS)).max() < 1e-4


def _supports(folder: Path, labels: Sequence[str] | None) -> float | None:
    """What a cross-encoder whose outputs have these names, or none, says of one call."""
    named = None if labels is None else dict(enumerate(labels))
    edit(folder / "config.json", id2label=named)
    call = Call("c", 0.0, "m", response="w7 w8.", contexts=("w1 w2.",))
    made = load("groundedness", Options(str(folder), device="cpu"))
    return made.score([call])["response_groundedness"][0].value


def test_of_a_cross_encoder_the_output_of_support_is_read_and_another_classifier_is_refused(
    folder: Path,
) -> None:
    named = ("0", "entailment", "2"), ("no", "supports", "unknown"), ("supports", "no", "unknown")
    given = [_supports(folder, labels) for labels in named]
    assert given[0] == given[1] != given[2]
    with pytest.raises(BadConfig, match=r"groundedness\.model: .*no entailment among severe_toxic"):
        _supports(folder, CLASSES)


@pytest.mark.parametrize("names", [("LABEL_0", "LABEL_1"), ("0", "1")])
def test_of_outputs_without_a_name_the_second_of_two_is_support_and_none_of_three(
    folder: Path, names: tuple[str, str]
) -> None:
    three = [*names, names[0].replace("0", "2")]
    listed = ", ".join(three).lower()
    with pytest.raises(BadConfig, match=rf"groundedness\.model: .*no entailment among {listed}$"):
        _supports(folder, three)
    torch.manual_seed(7)
    transformers.BertForSequenceClassification(config(num_labels=2)).save_pretrained(folder)
    second, named = _supports(folder, names), _supports(folder, ("no", "supported"))
    assert second == named == _supports(folder, None) != _supports(folder, ("supported", "no"))


def test_a_cross_encoder_that_knows_no_second_text_is_refused(folder: Path) -> None:
    edit(folder / "config.json", id2label={0: "entailment", 1: "toxicity", 2: "neutral"})
    weights = load_file(folder / "model.safetensors")
    types = "bert.embeddings.token_type_embeddings.weight"
    weights[types] = weights[types][:1]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert load("toxicity", Options(str(folder), device="cpu")).version
    with pytest.raises(BadConfig, match=r"^scorers\.groundedness\.model: .* cannot be run by it"):
        load("groundedness", Options(str(folder), device="cpu"))


def test_a_sentence_encoder_and_one_of_tokens_are_tried_too(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    norm = "bert.encoder.layer.1.output.LayerNorm.weight"
    weights[norm] = torch.full((16,), math.nan)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for name in ("relevance", "bertscore"):
        with pytest.raises(BadConfig, match=rf"^scorers\.{name}\.model: .* no numbers for two"):
            load(name, Options(str(folder), device="cpu"))


def test_scorers_that_read_one_folder_share_its_weights(folder: Path) -> None:
    edit(folder / "config.json", id2label={0: "injection", 1: "toxicity", 2: "neutral"})
    one, other = (
        load_classifier(Source(name, str(folder), device="cpu"))
        for name in ("injection", "context_injection")
    )
    assert one.key == other.key
    one, other = (inspect.getclosurevars(model.rows).nonlocals["encoder"] for model in (one, other))
    assert one is other


def test_check_says_what_does_not_fit(folder: Path, tmp_path: Path) -> None:
    edit(folder / "config.json", num_attention_heads=5)
    asked = {"toxicity": {"model": str(folder), "device": "cpu"}}
    away = {"brokers": ["127.0.0.1:1"]}
    store = {"url": f"sqlite:///{tmp_path / 'v.db'}"}
    row = check(load_config(models=False, scorers=asked, kafka=away, store=store))[0]
    assert (row["what"], row["ok"]) == ("scorers", False)
    assert row["detail"].startswith("scorers.toxicity.model: ")
    assert row["detail"].endswith("its 5 heads do not divide its width, 16")


def _version(folder: Path) -> str:
    return load("toxicity", Options(str(folder), device="cpu")).version


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer.json", tokenizer(WORDS[::-1]).to_str()),
        ("config.json", {"id2label": dict(enumerate(["toxic", "severe_toxic", "insult"]))}),
        ("tokenizer_config.json", '{"model_max_length": 16}'),
        ("1_Pooling/config.json", '{"pooling_mode": "cls"}'),
    ],
)
def test_what_decides_a_score_beside_the_weights_is_in_the_version_and_not_in_the_pin(
    folder: Path, file: str, content: str | dict[str, Any]
) -> None:
    edit(folder / "config.json", id2label=dict(enumerate(CLASSES)))
    before = _version(folder)
    (folder / "1_Pooling").mkdir()
    (folder / "README.md").write_text("Of no account.")
    assert _version(folder) == before
    if isinstance(content, str):
        (folder / file).write_text(content)
    else:
        edit(folder / file, **content)
    assert _version(folder) != before
    pin = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert load("toxicity", Options(str(folder), pin, "cpu")).version == _version(folder)


def test_an_engine_keeps_models_of_one_file_of_weights_and_other_words_apart(folder: Path) -> None:
    edit(folder / "config.json", id2label=dict(enumerate(CLASSES)))
    engine, given = Engine(), []
    for words in (WORDS, WORDS[::-1], WORDS):
        tokenizer(words).save(str(folder / "tokenizer.json"))
        scorer = load("toxicity", Options(str(folder), device="cpu", engine=engine))
        given.append(scorer.score([Call("c", 0.0, "m", prompt="w3 w7")])["prompt_toxicity"][0])
    assert given[0] == given[2] != given[1]


def test_what_stands_beside_a_checkpoint_is_in_its_version(tmp_path: Path) -> None:
    made = transformers.BertForSequenceClassification(config(num_labels=3))
    path, found = detoxify(tmp_path, made), []
    for words in (WORDS, WORDS[::-1]):
        tokenizer(words).save(str(tmp_path / "tokenizer.json"))
        found.append(load("toxicity", Options(str(path), device="cpu")).version)
    assert found[0] != found[1]


def test_labels_that_do_not_match_are_those_of_a_model_that_is_named(folder: Path) -> None:
    line = "scorers.toxicity.model: FOLDER has no toxicity among label_0, label_1, label_2"
    assert refused(folder) == line


@pytest.mark.skipif(torch.cuda.is_available(), reason="here the device is there")
def test_a_device_that_is_not_there_is_named_by_its_key(folder: Path) -> None:
    assert refused(folder, device="cuda").startswith("scorers.toxicity.device: cuda is not there")


def test_a_tokeniser_of_older_files_is_written_as_the_refusal_says(folder: Path) -> None:
    edit(folder / "config.json", id2label=dict(enumerate(CLASSES)))
    (folder / "tokenizer.json").unlink()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{at}" for at in range(59))]
    (folder / "vocab.txt").write_text("\n".join(words))
    line = refused(folder)
    assert line.startswith("scorers.toxicity.model: FOLDER/tokenizer.json is not there; AutoTok")
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    theirs.save_pretrained(folder)
    words_here = load_classifier(Source("toxicity", str(folder), device="cpu")).vocabulary
    text = "w3 W58, nothing w7"
    assert list(words_here.ids([text], 32)[0]) == theirs(text)["input_ids"][1:-1]


def test_a_pin_is_looked_at_before_a_checkpoint_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tiny.ckpt"
    path.write_text("version https://git-lfs.github.com/spec/v1")
    for pin, line in (
        ("0" * 64, r"^scorers\.toxicity\.sha256: tiny\.ckpt has sha256 "),
        (None, r"^scorers\.toxicity\.model: tiny\.ckpt is refused: it is cut short or holds more"),
    ):
        with pytest.raises(BadConfig, match=line):
            load("toxicity", Options(str(path), pin, "cpu"))
