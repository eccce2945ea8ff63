"""Checkpoints laid out as Detoxify's three, with Detoxify's own class as the oracle."""

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers as typed_tokenizers
import torch
import transformers as typed

from agent.record import Call
from agent.scoring import Options, load
from agent.scoring.classifiers import load_classifier
from agent.scoring.engine import Engine
from agent.scoring.folders import Source

transformers: Any = typed  # most of what is called there has no types
tokenizers: Any = typed_tokenizers

TEXTS = [
    "", "You fool!", "How do I bake bread without any yeast?", "one", "caf\u00e9 Stra\u00dfe",
    "\u6f22\u5b57 \u041f\u0440\u0438\u0432\u0435\u0442 \U0001f600", "  two   fools\nand a loaf ",
]  # fmt: skip
# What the tokenisers know; of the other texts they know some letters.
LEARNED = TEXTS[1:5]
OLDER = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
NEWER = ["toxicity", "severe_toxicity", "obscene", "identity_attack", "insult", "threat",
         "sexual_explicit"]  # fmt: skip
# The family, the classes that are named and the outputs there are.
LAYOUTS: dict[str, tuple[str, list[str], int]] = {
    "original": ("Bert", OLDER, 6),
    "unbiased": ("Roberta", NEWER, 16),
    "multilingual": ("XLMRoberta", NEWER, 16),
}
MARKS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}


def tokenizer(family: str) -> Any:
    """transformers' tokeniser of the family, over pieces of a few texts."""
    words = list(dict.fromkeys(" ".join(LEARNED).lower().split()))
    letters = sorted(set("".join(words)))
    if family == "Bert":
        marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        known = [*marks, *words, *letters, *(f"##{one}" for one in letters)]
        return transformers.BertTokenizer(
            vocab={x: at for at, x in enumerate(dict.fromkeys(known))}
        )
    if family == "Roberta":
        made = tokenizers.ByteLevelBPETokenizer()
        made.train_from_iterator(LEARNED, 300, special_tokens=MARKS, show_progress=False)
        model = json.loads(made.to_str())["model"]
        merges = [tuple(pair) for pair in model["merges"]]
        return transformers.RobertaTokenizer(vocab=model["vocab"], merges=merges)
    pieces = [(mark, 0.0) for mark in MARKS] + [(one, -9.0) for one in ["\u2581", *letters]]
    pieces += [(f"\u2581{word}", -4.0) for word in words]
    return transformers.XLMRobertaTokenizer(vocab=pieces)


def checkpoint(folder: Path, layout: str, seed: int) -> Path:
    """A random checkpoint; its configuration and tokeniser are those of the folder it names."""
    family, classes, outputs = LAYOUTS[layout]
    words = tokenizer(family)
    words.save_pretrained(folder)
    ids = {} if family == "Bert" else {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    # Wide weights, so that texts differ.
    config = getattr(transformers, f"{family}Config")(
        **SIZES, **ids, vocab_size=len(words), num_hidden_layers=2, max_position_embeddings=64,
        initializer_range=0.4, type_vocab_size=1 if ids else 2,
    )  # fmt: skip
    config.save_pretrained(folder)
    config.num_labels = outputs
    torch.manual_seed(seed)
    kind = f"{family}ForSequenceClassification"
    state = getattr(transformers, kind)(config).state_dict()
    # Older versions of transformers kept these, and so have the published files.
    prefix = "bert" if family == "Bert" else "roberta"
    state[f"{prefix}.embeddings.position_ids"] = torch.arange(64)[None]
    names = {"model_name": kind, "tokenizer_name": f"{family}Tokenizer"}
    arguments = {"model_type": str(folder), "num_classes": outputs, **names}
    told = {"arch": {"args": arguments}, "dataset": {"args": {"classes": classes}}}
    torch.save({"config": told, "state_dict": state}, folder / "tiny.ckpt")
    return folder / "tiny.ckpt"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_named_chance_is_what_detoxifys_own_class_predicts(
    tmp_path: Path, layout: str
) -> None:
    library = pytest.importorskip("detoxify", reason="the oracle is not installed")
    path = checkpoint(tmp_path, layout, seed=5)
    wanted = library.Detoxify(checkpoint=str(path)).predict(TEXTS)
    model = load_classifier(Source("toxicity", str(path), device="cpu"))
    assert model.columns == LAYOUTS[layout][2]
    assert model.labels[: len(wanted)] == tuple(wanted)
    rows = Engine().outputs(model, TEXTS)
    for column, (name, chances) in enumerate(wanted.items()):
        given = [float(model.chances(row, column)[0]) for row in rows]
        assert given == pytest.approx(chances, abs=1e-5), name
        assert max(chances) - min(chances) > 0.05, "texts so near each other tell nothing"
    scorer = load("toxicity", Options(str(path), device="cpu"))
    calls = [Call(str(at), 0.0, "m", prompt=text) for at, text in enumerate(TEXTS)]
    nothing, *scores = scorer.score(calls)["prompt_toxicity"]
    assert nothing.why == "too_short"
    assert [one.value for one in scores] == pytest.approx(wanted["toxicity"][1:], abs=1e-5)
