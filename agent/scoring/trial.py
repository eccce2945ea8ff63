"""A model is tried where it is loaded: each record of a model that cannot run would fail alone."""

from array import array
from typing import TYPE_CHECKING

from agent.scoring.forward import Encoder, Pack

if TYPE_CHECKING:
    import torch

    from agent.scoring.models import Model
    from agent.scoring.vocabulary import Tokens

_TEXTS = ("One text.", "And another one, which is longer.")


def tried(model: "Model", encoder: Encoder, pairs: bool = False) -> "Model":
    """The model, which has run two short texts, or `pairs` of them.

    Raises ValueError with what does not fit together.
    """
    import torch

    _check_sizes(model, encoder)
    tokens = _tokens(model, pairs)
    count = sum(len(one.ids) for one in tokens) if model.per_token else len(tokens)
    try:
        with torch.inference_mode():
            rows = _run(model, tokens)
    except (RuntimeError, IndexError) as error:
        said = str(error).splitlines()[0][:200]
        raise ValueError(f"two short texts cannot be run by it: {said}") from None
    if rows.shape != (count, model.columns):
        what = " x ".join(map(str, rows.shape))
        raise ValueError(f"it gives {what} numbers instead of {count} x {model.columns}")
    if not rows.isfinite().all():
        raise ValueError("it gives no numbers for two short texts")
    return model


def _check_sizes(model: "Model", encoder: Encoder) -> None:
    """What a short text does not show."""
    words, table = model.vocabulary, "embeddings.{}_embeddings.weight"
    highest, known = words.highest(), len(encoder.weights[table.format("word")])
    if highest >= known:
        raise ValueError(f"its tokeniser has ids up to {highest}, its weights {known} words")
    most, around = model.max_tokens, len(words.windows([array("i")], 9, 1)[0][0].ids)
    if most <= around:
        raise ValueError(f"it reads {most} tokens at a time, {around} of which stand round a text")
    places = encoder.weights.get(table.format("position"))
    if places is not None and encoder.first_position + most > len(places):
        needed = encoder.first_position + most
        raise ValueError(f"{most} tokens need {needed} positions, its weights have {len(places)}")


def _tokens(model: "Model", pairs: bool) -> "list[Tokens]":
    words, most = model.vocabulary, model.max_tokens
    if pairs:
        made = words.pairs([_TEXTS, _TEXTS[::-1]], most)
    else:
        made = words.windows(words.ids(_TEXTS, most), most, 1)
    return [one[0] for one in made]


def _run(model: "Model", tokens: "list[Tokens]") -> "torch.Tensor":
    ids, types = [one.ids for one in tokens], [one.types for one in tokens]
    return model.rows(Pack.make(ids, types, model.device)).float().cpu()
