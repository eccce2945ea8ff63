"""Classifiers that a configuration names for a role: folders, and Detoxify's checkpoints."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agent.errors import BadConfig
from agent.scoring import folders, pooling
from agent.scoring.forward import Encoder
from agent.scoring.models import Model, device_of, encoder_of, model_of, plain_encoder, twin
from agent.scoring.trial import tried

# Detoxify renames the classes of its older checkpoints the same way.
_LABELS = {
    "toxic": "toxicity",
    "severe_toxic": "severe_toxicity",
    "identity_hate": "identity_attack",
}


def load_classifier(source: folders.Source, pairs: bool = False) -> Model:
    """A classifier of texts, or of `pairs` of them; its labels name the columns.

    Raises BadConfig, naming the key, for a model that is not there or cannot be read.
    """
    if source.model is None:
        raise BadConfig(source.key, "needs a folder with safetensors or a Detoxify .ckpt file")
    place = folders.place(source.key, source.model)
    made = _detoxify(source, place, pairs) if place.is_file() else _saved(source, place, pairs)
    return twin(source, made)


def _saved(source: folders.Source, folder: Path, pairs: bool) -> Model:
    digest = folders.digest(source, folders.safetensors(source.key, folder), folder)
    with folders.translated(source.key, folder):
        raw, device = folders.read_config(folder), device_of(source)
        names = raw.get("id2label") or {}
        labels = [str(names[at]) for at in sorted(names, key=int)]
        encoder = plain_encoder(folder, digest, device, source.bfloat16)
        made = classifier(digest, folder, encoder, labels, device, pairs)
    # The rule of transformers' own pipelines.
    several = raw.get("problem_type") == "multi_label_classification"
    return replace(made, exclusive=made.columns > 1 and not several)


def _detoxify(source: folders.Source, path: Path, pairs: bool) -> Model:
    folders.check_pin(source, path)
    state, kind, names = folders.checkpoint(source.key, path)
    beside = (path.parent / "config.json").is_file()
    folder = path.parent if beside else folders.cached(source.key, kind, f"or beside {path.name}")
    digest = folders.digest(source, path, folder)
    with folders.translated(source.key, path):
        raw, device = folders.read_config(folder), device_of(source)
        encoder = encoder_of(raw, state, device, source.bfloat16)
        return classifier(digest, folder, encoder, names, device, pairs)


def classifier(
    digest: str,
    folder: Path,
    encoder: Encoder,
    labels: Sequence[str],
    device: str,
    pairs: bool = False,
) -> Model:
    """A sequence classifier from an encoder with its weights; `folder` holds its tokeniser.

    Raises KeyError with the name of a weight that is missing, ValueError for what does not fit.
    """
    rows = pooling.classifier(encoder, encoder.weights)
    out = next(
        name
        for name in ("classifier.out_proj", "classifier")
        if f"{name}.weight" in encoder.weights
    )
    columns = len(encoder.weights[f"{out}.weight"])
    if len(labels) > columns:
        raise ValueError(f"it names {len(labels)} labels and has {columns} outputs")
    known = [_LABELS.get(label.lower(), label.lower()) for label in labels]
    # The unbiased Detoxify models have more outputs than named classes; those stand first.
    known += [f"output_{at}" for at in range(len(known), columns)]
    made = model_of(f"classifier:{digest}", digest, folder, encoder, rows, tuple(known), device)
    return tried(made, encoder, pairs)
