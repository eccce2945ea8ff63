"""From hidden states to what a model says of a text: an embedding, or the outputs of its head."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent.scoring import folders
from agent.scoring.forward import Encoder, Texts, activation, max_rows, mean_rows
from agent.scoring.layout import Linear, Weights, layers, linear

if TYPE_CHECKING:
    import torch

    Rows = Callable[[Texts], torch.Tensor]
    Step = Callable[[torch.Tensor], torch.Tensor]

Pooling = Literal["mean", "cls"]

_MODULES = {"Transformer", "Pooling", "Normalize"}
# Until its version 6 sentence-transformers wrote a key for each mode instead of `pooling_mode`.
_MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


def read(folder: Path) -> tuple[Pooling, bool]:
    """How a folder of sentence-transformers asks to be pooled, and whether to normalise that.

    Raises ValueError for a module or a pooling that there is not here, BadFile for a file that
    cannot be read or is missing.
    """
    path, pool = folder / "modules.json", folder / "1_Pooling" / "config.json"
    with folders.reading(path):
        modules = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    odd = [kind for kind in kinds if kind not in _MODULES]
    if odd:
        raise ValueError(f"its module {odd[0]} is not supported")
    if "Pooling" in kinds and not pool.is_file():
        raise folders.BadFile(pool, "is not there")
    asked = folders.read_json(pool)
    told = asked.get("pooling_mode") or [
        _MODES.get(key, key) for key, on in asked.items() if key.startswith("pooling_mode_") and on
    ]
    modes = [told] if isinstance(told, str) else told
    if modes not in ([], ["mean"], ["cls"]):
        raise ValueError(f"its {' and '.join(modes)} pooling is not supported")
    return "cls" if modes == ["cls"] else "mean", not modules or "Normalize" in kinds


def embedder(encoder: Encoder, pooling: Pooling, normalize: bool) -> "Rows":
    """Sentence embeddings [texts, width], pooled as the model's configuration says."""
    import torch.nn.functional as F

    def rows(pack: Texts) -> "torch.Tensor":
        cls = pooling == "cls"
        pooled = encoder.first(pack) if cls else mean_rows(encoder.hidden(pack), pack)
        return F.normalize(pooled, dim=1) if normalize else pooled

    return rows


def stages(encoder: Encoder, pack: Texts) -> "list[torch.Tensor]":
    """What enters the first layer and what leaves every second one, [tokens, width] each."""
    found = [encoder.embed(pack)]
    for at in range(0, len(encoder.layers), 2):
        found.append(encoder.run(found[-1], pack, encoder.layers[at : at + 2]))
    return found


def pools(states: "Sequence[torch.Tensor]", pack: Texts) -> "torch.Tensor":
    """The mean and the maximum of each text's tokens in each of the states, side by side."""
    import torch

    wide = (x.float() for x in states)
    return torch.cat([pool(x, pack) for x in wide for pool in (mean_rows, max_rows)], 1)


def suite(encoder: Encoder, branch: Weights) -> "Rows":
    """The outputs of heads on the layers and on a branch of them, then the normalised embedding.

    `branch` holds the last layers once more under their own names, and `head`, which reads the
    pools of the branch's end and of every stage.
    """
    import torch
    import torch.nn.functional as F

    own = layers({**encoder.weights, **branch}, encoder.config)
    shared = min(int(n.split(".")[2]) for n in branch if n.startswith("encoder.layer."))
    weight, bias = (branch[f"head.{part}"].float() for part in ("weight", "bias"))

    def rows(pack: Texts) -> "torch.Tensor":
        seen = stages(encoder, pack)
        mine = encoder.run(seen[shared // 2], pack, own[shared:])
        pooled = pools([mine, *seen], pack)
        mean = pooled.view(-1, len(seen) + 1, 2, seen[-1].shape[-1])[:, -1, 0]
        return torch.cat([F.linear(pooled, weight, bias), F.normalize(mean, dim=1)], 1)

    return rows


def classifier(encoder: Encoder, weights: Weights) -> "Rows":
    """The outputs of a sequence classification head [texts, labels].

    Raises KeyError with the name of a weight that is missing.
    """
    steps = _steps(encoder, weights)

    def rows(pack: Texts) -> "torch.Tensor":
        x = encoder.first(pack)
        for step in steps:
            x = step(x)
        return x

    return rows


def _steps(encoder: Encoder, weights: Weights) -> "list[Step]":
    import torch

    config = encoder.config
    parts: tuple[str | Step, ...]
    if "roberta" in config.family:
        parts = ("classifier.dense", torch.tanh, "classifier.out_proj")
    elif config.family == "distilbert":
        parts = ("pre_classifier", torch.relu, "classifier")
    elif config.family == "deberta-v2":
        act = activation(str(config.raw.get("pooler_hidden_act", "gelu")))
        parts = ("pooler.dense", act, "classifier")
    else:
        dense = "pooler" if config.family == "albert" else "pooler.dense"
        parts = (dense, torch.tanh, "classifier")
    return [_apply(linear(weights, one)) if isinstance(one, str) else one for one in parts]


def _apply(part: Linear) -> "Step":
    import torch.nn.functional as F

    return lambda x: F.linear(x, part.weight, part.bias)
