"""Folders of models as others saved them: what they ask for, and what is refused of them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agent.errors import BadConfig
from agent.record import Call
from agent.scoring import Options, load
from agent.scoring.engine import Engine
from agent.scoring.folders import Source
from agent.scoring.models import load_embedder
from tests.test_scoring_models import CLASSES, TEXTS, config, tokenizer, transformers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A classifier of random weights."""
    torch.manual_seed(7)
    transformers.BertForSequenceClassification(config(num_labels=3)).save_pretrained(tmp_path)
    tokenizer().save(str(tmp_path / "tokenizer.json"))
    return tmp_path


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


def test_of_a_cross_encoder_the_output_of_support_is_read_and_another_classifier_is_refused(
    folder: Path,
) -> None:
    call = Call("c", 0.0, "m", response="w7 w8.", contexts=("w1 w2.",))
    settings = json.loads((folder / "config.json").read_text())

    def ready(labels: list[str]) -> Any:
        named = settings | {"id2label": dict(enumerate(labels))}
        (folder / "config.json").write_text(json.dumps(named))
        return load("groundedness", Options(str(folder), device="cpu"))

    given = [
        ready(labels).score([call])["response_groundedness"][0].value
        for labels in (["0", "entailment", "2"], ["0", "1", "2"], ["supports", "no", "unknown"])
    ]
    assert given[0] == given[1] != given[2]
    with pytest.raises(BadConfig, match=r"groundedness\.model: .*no entailment among severe_toxic"):
        ready(CLASSES)
