"""From a checkpoint's names to one layout: the weights of every family of encoders, by part."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

Weights = Mapping[str, "torch.Tensor"]


class Linear(NamedTuple):
    """A matrix [out, in] and what is added to its product."""

    weight: "torch.Tensor"
    bias: "torch.Tensor | None"


class Norm(NamedTuple):
    """Scale, shift and epsilon of a layer normalisation."""

    weight: "torch.Tensor"
    bias: "torch.Tensor"
    eps: float


@dataclass(frozen=True, slots=True)
class Layer:
    """One post-norm transformer layer; query, key and value stand in one matrix."""

    qkv: Linear
    out: Linear
    norm: Norm
    up: Linear
    down: Linear
    last_norm: Norm


@dataclass(frozen=True, slots=True)
class Names:
    """What a family calls its parts, below the prefix of its layers."""

    layer: str
    query: str
    key: str
    value: str
    out: str
    norm: str
    up: str
    down: str
    last_norm: str


_BERT = Names(
    "encoder.layer.{at}.", "attention.self.query", "attention.self.key", "attention.self.value",
    "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense",
    "output.LayerNorm",
)  # fmt: skip
_DISTILBERT = Names(
    "transformer.layer.{at}.", "attention.q_lin", "attention.k_lin", "attention.v_lin",
    "attention.out_lin", "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm",
)  # fmt: skip
_ALBERT = Names(
    "encoder.albert_layer_groups.{group}.albert_layers.{inner}.", "attention.query",
    "attention.key", "attention.value", "attention.dense", "attention.LayerNorm", "ffn",
    "ffn_output", "full_layer_layer_norm",
)  # fmt: skip
_DEBERTA = Names(
    "encoder.layer.{at}.", "attention.self.query_proj", "attention.self.key_proj",
    "attention.self.value_proj", "attention.output.dense", "attention.output.LayerNorm",
    "intermediate.dense", "output.dense", "output.LayerNorm",
)  # fmt: skip

_KINDS = ("weight", "bias")

FAMILIES: dict[str, Names] = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "distilbert": _DISTILBERT,
    "albert": _ALBERT,
    "deberta-v2": _DEBERTA,
}
# What stands before the encoder's own names when a head was saved with it.
_PREFIXES = ("bert.", "roberta.", "distilbert.", "albert.", "deberta.")


@dataclass(frozen=True, slots=True)
class Config:
    """What of a checkpoint's `config.json` the forward pass depends on."""

    family: str
    layers: int
    heads: int
    activation: str
    eps: float
    raw: Mapping[str, Any]

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Config":
        """Raises ValueError for a family or a setting that the forward pass does not have."""
        family = str(raw["model_type"])
        if family not in FAMILIES:
            raise ValueError(f"model_type {family} is none of {', '.join(FAMILIES)}")
        if raw.get("position_embedding_type", "absolute") != "absolute":
            raise ValueError(f"position_embedding_type {raw['position_embedding_type']}")
        if raw.get("conv_kernel_size"):
            raise ValueError("conv_kernel_size: convolution layers are not supported")
        distil = family == "distilbert"
        return cls(
            family,
            int(raw["n_layers" if distil else "num_hidden_layers"]),
            int(raw["n_heads" if distil else "num_attention_heads"]),
            str(raw.get("activation" if distil else "hidden_act", "gelu")),
            float(raw.get("layer_norm_eps", 1e-12)),
            raw,
        )


def strip(weights: Weights) -> dict[str, "torch.Tensor"]:
    """The weights without the family's prefix, under today's names of a normalisation's parts."""
    found = {}
    for name, tensor in weights.items():
        prefix = next((one for one in _PREFIXES if name.startswith(one)), "")
        name = name.removeprefix(prefix).replace("LayerNorm.gamma", "LayerNorm.weight")
        found[name.replace("LayerNorm.beta", "LayerNorm.bias")] = tensor
    return found


def linear(weights: Weights, name: str) -> Linear:
    """Raises KeyError with the name that is missing."""
    return Linear(weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def norm(weights: Weights, name: str, eps: float) -> Norm:
    """Raises KeyError with the name that is missing."""
    return Norm(weights[f"{name}.weight"], weights[f"{name}.bias"], eps)


def layers(weights: Weights, config: Config) -> list[Layer]:
    """The layers in order; ALBERT's stand in the list as often as they are run.

    Raises ValueError for a width or heads that the configuration has otherwise.
    """
    import torch

    names, found = FAMILIES[config.family], []
    groups, inner = (int(config.raw.get(k, 1)) for k in ("num_hidden_groups", "inner_group_num"))
    made: dict[str, Layer] = {}
    for at in range(config.layers * inner):
        group = at // inner * groups // config.layers
        place = names.layer.format(at=at, group=group, inner=at % inner)
        if place not in made:
            parts = [place + part for part in (names.query, names.key, names.value)]
            qkv = [torch.cat([weights[f"{p}.{kind}"] for p in parts]) for kind in _KINDS]
            _check_width(config, len(qkv[0]) // 3)
            made[place] = Layer(
                Linear(qkv[0], qkv[1]),
                linear(weights, place + names.out),
                norm(weights, place + names.norm, config.eps),
                linear(weights, place + names.up),
                linear(weights, place + names.down),
                norm(weights, place + names.last_norm, config.eps),
            )
        found.append(made[place])
    return found


def _check_width(config: Config, width: int) -> None:
    told = int(config.raw.get("dim") or config.raw["hidden_size"])
    if told != width:
        raise ValueError(f"its configuration has width {told}, its weights {width}")
    if config.heads < 1 or width % config.heads:
        raise ValueError(f"its {config.heads} heads do not divide its width, {width}")
