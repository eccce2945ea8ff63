"""A model of transformers from its folder: as it is, in another precision, quantised, compiled.

Safetensors only, no code from the folder, no download.
"""

import inspect
import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agent.errors import BadConfig
from agent.scoring.folders import translated

_WANTS = ("attention_mask", "position_ids", "past_key_values", "logits_to_keep")

Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class Loading:
    """As what a model runs.

    `dtype` None is float32 on a CPU and that of the folder on a GPU. `compile` makes kernels of it
    by torch.compile; `quantise` int8 keeps its linear layers in eight bits (on a CPU).
    """

    dtype: Precision | None = None
    compile: bool = False
    quantise: Literal["int8"] | None = None


PLAIN = Loading()


def load(key: str, folder: Path, device: str, how: Loading = PLAIN) -> tuple[Any, Any]:
    """Tokenizer and model; raises BadConfig, naming the key, for what cannot be had.

    The key is that of the folder; what is asked of it stands beside: `x.folder`, `x.quantise`.
    """
    if not (folder / "config.json").is_file():
        raise BadConfig(key, f"{folder} is no folder of a model: it has no config.json")
    try:
        import transformers
    except ImportError:
        raise BadConfig(key, "needs transformers: pip install -e '.[shadow]'") from None
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    models: Any = transformers.AutoModelForCausalLM
    with translated(key, folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
        model, report = models.from_pretrained(
            folder, **local, use_safetensors=True, output_loading_info=True,
            dtype=how.dtype or ("float32" if device == "cpu" else "auto"),
        )  # fmt: skip
    # transformers would draw what is missing at random and say so in a warning.
    if missing := sorted(report["missing_keys"]):
        raise BadConfig(key, f"{folder} has no weight {missing[0]}")
    if not set(_WANTS) <= set(inspect.signature(model.forward).parameters):
        raise BadConfig(key, f"{type(model).__name__} cannot answer several questions at once")
    model, beside = model.eval().to(device), key.rpartition(".")[0]
    if how.quantise is not None:
        model = _quantised(f"{beside}.quantise", model, device, how)
    if how.compile:
        _compile(f"{beside}.compile", model, device)
    return tokenizer, model


def _quantised(key: str, model: Any, device: str, how: Loading) -> Any:
    """Weights of linear layers in int8, their inputs by the range that each batch has."""
    import torch

    if device != "cpu":
        raise BadConfig(key, f"int8 runs on a CPU, and this model on {device}")
    if how.dtype not in (None, "float32"):
        raise BadConfig(key, f"int8 is made of float32, not of {how.dtype}")
    found = getattr(getattr(torch.ao, "quantization", None), "quantize_dynamic", None)
    if found is None:
        raise BadConfig(key, f"PyTorch {torch.__version__} has no dynamic quantisation")
    if any(type(one).__name__ == "Conv1D" for one in model.modules()):
        raise BadConfig(key, f"{type(model).__name__} has no linear layers that int8 is made of")
    with warnings.catch_warnings():
        # It goes to torchao one day, which is pinned nowhere here; on this PyTorch it works.
        warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)
        return found(model, {torch.nn.Linear}, dtype=torch.qint8)


def _compile(key: str, model: Any, device: str) -> None:
    """Kernels are made when they are first needed, which takes minutes: batches differ in shape."""
    import torch

    compiler = os.environ.get("CXX") or "g++"
    if device == "cpu" and not (shutil.which(compiler) or shutil.which("clang++")):
        raise BadConfig(key, f"torch.compile needs a C++ compiler, and {compiler} is not there")
    model.forward = torch.compile(model.forward, dynamic=True)
