"""The toxicity scorer on a small random checkpoint, with transformers itself as the oracle."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import BadConfig
from agent.record import Call
from agent.scoring import Options, load

WORDS = ("you", "are", "a", "good", "bad", "friend", "fool", "the", "day")
CALL = Call(id="c", at=0.0, model="m")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    path = tmp_path_factory.mktemp("toxicity")
    vocabulary = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)
    (path / "vocab.txt").write_text("\n".join(vocabulary))
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        id2label={0: "toxicity", 1: "insult"},
        label2id={"toxicity": 0, "insult": 1},
        problem_type="multi_label_classification",
    )
    model = BertForSequenceClassification(config)  # type: ignore[no-untyped-call]  # no types there
    model.save_pretrained(path)
    BertTokenizer(vocab_file=str(path / "vocab.txt")).save_pretrained(path)
    return path


def test_scores_are_those_of_the_checkpoint(folder: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    texts = ["you are a fool", "the day", "you are a good friend " * 6]
    scorer = load("toxicity", Options(model=str(folder)))
    calls = [replace(CALL, prompt=text, response=text) for text in texts]
    given = scorer.score([*calls, replace(CALL, response=texts[0])])
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for i, text in enumerate(texts):
        with torch.inference_mode():
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0, 0]
        for metric in ("prompt_toxicity", "response_toxicity"):
            assert given[metric][i].value == pytest.approx(torch.sigmoid(logits).item(), abs=1e-5)
    assert given["prompt_toxicity"][3].status == "unscored"
    assert given["response_toxicity"][3].value == given["response_toxicity"][0].value


def test_a_model_that_is_not_there_is_an_error_that_names_it() -> None:
    with pytest.raises(BadConfig, match="no-such/model"):
        load("toxicity", Options(model="no-such/model"))
