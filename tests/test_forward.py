"""The packed forward pass of every family, with transformers' own as the oracle."""

from array import array
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import transformers as typed

from agent.scoring import layout, pooling
from agent.scoring.deberta import Disentangled
from agent.scoring.forward import Encoder, Pack, attention
from agent.scoring.words import Ids

transformers: Any = typed  # most of what is called there has no types

LENGTHS = (3, 17, 17, 40, 90, 90)
SHAPE = {
    "vocab_size": 100, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "intermediate_size": 64, "max_position_embeddings": 128, "num_labels": 3,
}  # fmt: skip
RELATIVE = {**SHAPE, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
V3 = {"position_biased_input": False, "type_vocab_size": 0, "norm_rel_ebd": "layer_norm"}
CONFIGS = {
    "bert": transformers.BertConfig(**SHAPE),
    "bert-relu": transformers.BertConfig(**SHAPE, hidden_act="relu", layer_norm_eps=1e-3),
    "roberta": transformers.RobertaConfig(**SHAPE),
    "xlm-roberta": transformers.XLMRobertaConfig(**SHAPE),
    "distilbert": transformers.DistilBertConfig(
        vocab_size=100, dim=48, n_layers=3, n_heads=4, hidden_dim=64, num_labels=3,
        max_position_embeddings=128,
    ),
    "albert": transformers.AlbertConfig(
        **{**SHAPE, "embedding_size": 24, "num_hidden_layers": 4, "num_hidden_groups": 2,
           "inner_group_num": 2},
    ),
    "deberta-v2": transformers.DebertaV2Config(**RELATIVE, type_vocab_size=2),
    "deberta-v3": transformers.DebertaV2Config(
        **RELATIVE, **V3, position_buckets=16, share_att_key=True
    ),
    "deberta, content to position only": transformers.DebertaV2Config(
        **{**RELATIVE, "pos_att_type": ["c2p"]}, **V3, position_buckets=32
    ),
    "deberta, position to content only": transformers.DebertaV2Config(
        **{**RELATIVE, "pos_att_type": ["p2c"]}, **V3, position_buckets=256
    ),
    "deberta, narrow words": transformers.DebertaV2Config(
        **RELATIVE, **V3, position_buckets=16, embedding_size=24
    ),
    "deberta, kinds without relative attention": transformers.DebertaV2Config(
        **{**RELATIVE, "relative_attention": False}, type_vocab_size=2
    ),
}  # fmt: skip


def inputs(config: Any) -> tuple[list[Ids], list[Ids]]:
    """Random ids, and types with a second text where the model knows one."""
    draw = torch.Generator().manual_seed(5)
    ids = [array("i", torch.randint(5, 100, (n,), generator=draw).tolist()) for n in LENGTHS]
    second = int(getattr(config, "type_vocab_size", 0) > 1)
    return ids, [array("i", [0] * (n // 2) + [second] * (n - n // 2)) for n in LENGTHS]


def made(config: Any, kind: str) -> tuple[Any, Encoder]:
    """A random model of transformers' and our encoder with its weights."""
    torch.manual_seed(2)
    model = getattr(transformers, kind).from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.05 * torch.randn_like(weight)
    weights = layout.strip(model.state_dict())
    return model, Encoder(layout.Config.read(config.to_dict()), weights)


def theirs(model: Any, config: Any, ids: Sequence[int], types: Sequence[int]) -> Any:
    """What transformers says of one text alone."""
    told = {"input_ids": ids, "token_type_ids": types}
    if config.model_type == "distilbert":
        del told["token_type_ids"]
    return model(**{name: torch.tensor([list(some)]) for name, some in told.items()})


@pytest.mark.parametrize("name", CONFIGS)
def test_hidden_states_are_those_of_transformers(name: str) -> None:
    config = CONFIGS[name]
    model, encoder = made(config, "AutoModel")
    ids, types = inputs(config)
    with torch.inference_mode():
        packed = torch.split(encoder.hidden(Pack.make(ids, types, "cpu")), list(LENGTHS))
        for one, some, own in zip(ids, types, packed, strict=True):
            other = theirs(model, config, one, some).last_hidden_state[0]
            assert (own - other).abs().max() < 1e-4
    assert packed[1].std() > 0.1


@pytest.mark.parametrize("name", CONFIGS)
def test_embeddings_of_half_precision_are_nearly_those_of_transformers(name: str) -> None:
    config = CONFIGS[name]
    model, encoder = made(config, "AutoModel")
    ids, types = inputs(config)
    weights = {name: one.bfloat16() for name, one in encoder.weights.items()}
    rows = pooling.embedder(Encoder(encoder.config, weights), "mean", normalize=True)
    with torch.inference_mode():
        found = rows(Pack.make(ids, types, "cpu"))
        for one, some, own in zip(ids, types, found.float(), strict=True):
            mean = theirs(model, config, one, some).last_hidden_state[0].mean(0)
            assert (own - mean / mean.norm()).abs().max() < 5e-3


@pytest.mark.parametrize("name", CONFIGS)
def test_heads_are_those_of_transformers(name: str) -> None:
    config = CONFIGS[name]
    ids, types = inputs(config)
    pack = Pack.make(ids, types, "cpu")
    model, encoder = made(config, "AutoModelForSequenceClassification")
    with torch.inference_mode():
        given = pooling.classifier(encoder, encoder.weights)(pack)
        for one, some, own in zip(ids, types, given, strict=True):
            other = theirs(model, config, one, some).logits[0]
            assert (own - other).abs().max() < 1e-4


def test_a_head_runs_what_is_behind_the_last_attention_for_first_tokens_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, seen = CONFIGS["bert"], list[int]()
    _, encoder = made(config, "AutoModelForSequenceClassification")
    act = encoder._act

    def counted(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return act(x)

    monkeypatch.setattr(encoder, "_act", counted)
    with torch.inference_mode():
        pooling.classifier(encoder, encoder.weights)(Pack.make(*inputs(config), "cpu"))
    tokens, texts = sum(LENGTHS), len(LENGTHS)
    assert seen == [*[tokens] * (config.num_hidden_layers - 1), texts]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"model_type": "gpt2"}, "model_type gpt2 is none of bert, roberta"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type relative_key"),
        ({"conv_kernel_size": 3}, "conv_kernel_size"),
        ({"hidden_act": "swish7"}, "activation swish7 is none of gelu"),
    ],
)
def test_what_the_forward_pass_does_not_have_is_refused(
    change: dict[str, Any], problem: str
) -> None:
    config = CONFIGS["bert"]
    weights = layout.strip(transformers.BertModel(config).state_dict())
    with pytest.raises(ValueError, match=problem):
        Encoder(layout.Config.read({**config.to_dict(), **change}), weights)


@pytest.mark.parametrize("name", [one for one in CONFIGS if one.startswith("deberta")])
def test_blocks_of_about_one_length_attend_as_runs_of_equal_length(name: str) -> None:
    _, encoder = made(CONFIGS[name], "AutoModel")
    pack = Pack.make(*inputs(CONFIGS[name]), "cpu")
    attend = attention(encoder.config, encoder.weights)
    assert isinstance(attend, Disentangled)
    # 3, 17 and 17 tokens; 40; twice 90.
    assert [tuple(one.shape) for one in pack.blocks] == [(3, 32), (1, 64), (2, 96)]
    with torch.inference_mode():
        qkv = encoder.embed(pack) @ torch.randn(48, 3 * 48) / 7  # else softmax magnifies rounding
        assert (attend.padded(qkv, pack, 1) - attend(qkv, pack, 1)).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["deberta-v3", "deberta, position to content only"])
def test_texts_longer_than_those_before_are_attended_in_pieces(name: str) -> None:
    config = CONFIGS[name]
    model, encoder = made(config, "AutoModel")
    draw = torch.Generator().manual_seed(6)
    with torch.inference_mode():
        for length in (40, 400):  # of 400, biases of three of the four heads at a time
            ids = array("i", torch.randint(5, 100, (length,), generator=draw).tolist())
            other = theirs(model, config, ids, [0] * length).last_hidden_state[0]
            own = encoder.hidden(Pack.make([ids, ids], [None, None], "cpu"))
            assert (own - torch.cat([other, other])).abs().max() < 1e-4


def test_kinds_of_position_may_be_one_string() -> None:
    config = CONFIGS["deberta-v3"]
    _, encoder = made(config, "AutoModel")
    raw = {**config.to_dict(), "pos_att_type": "P2C|c2p"}
    other = Encoder(layout.Config.read(raw), encoder.weights)
    pack = Pack.make(*inputs(config), "cpu")
    with torch.inference_mode():
        assert torch.equal(other.hidden(pack), encoder.hidden(pack))
