"""Folders of small random language models, made by the tests that ask them."""

from pathlib import Path
from typing import Any

import tokenizers as typed_tokenizers
import torch
import transformers as typed

transformers: Any = typed  # most of what is called there has no types
tokenizers: Any = typed_tokenizers

WORDS = [f"w{at}" for at in range(90)]
# Weights drawn so wide that answers differ from question to question and end by themselves.
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
              "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
              "initializer_range": 0.6},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "initializer_range": 0.6},
}  # fmt: skip
TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'tool' %}{{ raise_exception('no tools here') }}"
    "{% endif %}<s> {{ m['role'] }} {{ m['content'] }} {% endfor %}</s>"
)


def make_folder(folder: Path, kind: str = "llama", template: str | None = TEMPLATE,
                shape: dict[str, Any] | None = None, **told: Any) -> Path:  # fmt: skip
    """A folder of a random model of this kind, its tokenizer and generation config (`told`)."""
    known = {word: at for at, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *WORDS])}
    known |= {word: len(known) + at for at, word in enumerate(["user", "system", "assistant"])}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(known, "<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, **names)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "vocab_size": len(known)}
    config = transformers.AutoConfig.for_model(kind, **ids | (shape or SHAPES[kind]))
    torch.manual_seed(4)
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.generation_config.update(**told)
    model.save_pretrained(folder)
    return folder
