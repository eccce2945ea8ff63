"""From a model of ours to an OpenVINO graph with int8 weights, and int8 activations too."""

import contextlib
import importlib.metadata
import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import BadConfig
from agent.scoring import int8
from agent.scoring.forward import Pack, Rectangle
from agent.scoring.vocabulary import Text, Tokens

if TYPE_CHECKING:
    import torch

    from agent.scoring.models import Model

# performance.md 1 calibrated with as many.
CALIBRATION_TEXTS = 120
# What an example is made of: the graph itself takes any number of texts, of any length.
_TEXTS, _LENGTH = 2, 8

Graph = Any  # openvino.Model; the library has no types
Method = Callable[[Graph, Sequence[Tokens]], Graph]


def export(model: "Model", key: str) -> Graph:
    """The graph of a model's rows, in fp32, of padded inputs.

    Raises BadConfig, naming `key`, for one that is not run by the padded forward pass, or where
    the libraries are not installed.
    """
    import torch

    library = int8.library(key)
    texts, length = torch.export.Dim("texts", min=1), torch.export.Dim("length", min=2)
    ids = torch.full((_TEXTS, _LENGTH), 5)
    example = (ids, torch.zeros_like(ids), torch.ones_like(ids, dtype=torch.bool))
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of torch's own deprecated parts
        try:
            shapes = ({0: texts, 1: length},) * len(example)
            made = torch.export.export(_module(model), example, dynamic_shapes=shapes)
            return library.convert_model(made)
        except (ValueError, RuntimeError) as error:
            problem = str(error).splitlines()[0][:200]
            said = f"{model.key} has no int8 ({problem}); set int8: false for its scorer"
            raise BadConfig(key, said) from None


def _module(model: "Model") -> "torch.nn.Module":
    import torch

    rows: Any = model.rows  # ours take a rectangle too; what is not ours fails below

    class Rows(torch.nn.Module):
        def forward(
            self, ids: torch.Tensor, types: torch.Tensor, real: torch.Tensor
        ) -> torch.Tensor:
            made: torch.Tensor = rows(Rectangle.make(ids, types, real))
            return made

    return Rows()


def windows(model: "Model", texts: Sequence[Text]) -> list[Tokens]:
    """The first window that a model reads of each text."""
    words = model.vocabulary
    found = words.pairs([text for text in texts if isinstance(text, tuple)], model.max_tokens)
    ids = words.ids([text for text in texts if isinstance(text, str)], model.max_tokens)
    found += words.windows(ids, model.max_tokens, 1)
    return [one[0] for one in found]


def _post_training(graph: Graph, calibration: Sequence[Tokens]) -> Graph:
    """Weights and activations in int8, the ranges of the latter those of the texts."""
    import nncf

    packs = [Pack.make([one.ids], [one.types], "cpu") for one in calibration]
    feeds = [feed for pack in packs for feed in int8.rectangles(pack)]
    known = {name for port in graph.inputs for name in port.get_names()}
    data = nncf.Dataset([{k: v for k, v in feed.items() if k in known} for feed in feeds])
    mixed, kind = nncf.QuantizationPreset.MIXED, nncf.ModelType.TRANSFORMER
    return nncf.quantize(graph, data, preset=mixed, model_type=kind, subset_size=len(feeds))


def _weights(graph: Graph, _: Sequence[Tokens]) -> Graph:
    """Weights in int8; activations become int8 text by text, at run time."""
    import nncf

    return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_SYM)


# The fastest first: 2.2 and 1.5 times fp32 on a CPU with VNNI (performance.md 1).
METHODS: Mapping[str, Method] = {"post-training": _post_training, "weights": _weights}


def make(graph: Graph, method: Method, calibration: Sequence[Tokens], place: Path) -> None:
    """Write the int8 twin of an exported graph; raises BadConfig without the libraries."""
    library = int8.library("int8")
    try:
        import nncf
    except ImportError:
        raise BadConfig("int8", "making it needs the packages of vedette[openvino]") from None
    nncf.set_log_level(logging.ERROR)
    # nncf shows its progress on stdout, which is the machine's.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        made = method(graph.clone(), calibration)
    place.mkdir(parents=True, exist_ok=True)
    library.save_model(made, str(place / int8.GRAPH), compress_to_fp16=False)


def libraries_there() -> bool:
    """Whether a twin can be made here."""
    return all(importlib.util.find_spec(name) is not None for name in ("openvino", "nncf"))


def versions() -> dict[str, str]:
    """Of the libraries that make a twin."""
    return {name: importlib.metadata.version(name) for name in ("openvino", "nncf", "torch")}
