"""The engine on an accelerator; skipped where there is none."""

import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from agent.scoring import folders, layout, models, pooling
from agent.scoring.bench import invented_texts
from agent.scoring.engine import Engine
from agent.scoring.forward import Encoder, Pack
from agent.scoring.models import Model
from tests.test_forward import CONFIGS, LENGTHS, SHAPE, inputs, made, theirs, transformers

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator is here")

# Heads of 12 columns are too odd for the kernel of variable lengths; these have 16.
MODELS = CONFIGS | {"bert, even": transformers.BertConfig(**SHAPE | {"hidden_size": 64})}
EXACT, HALF = (torch.float32, 1e-4), (torch.bfloat16, 5e-3)
# An index beyond a table of embeddings ends the context for good.
STICKY = """
import torch
from agent.scoring import models
from agent.scoring.engine import Engine
from tests.test_cuda import minilm
from dataclasses import replace
table = torch.zeros(4, 2, device="cuda")
broken = lambda pack: table[pack.ids + 9_000_000][: len(pack.lengths)]
Engine().outputs(replace(minilm("cuda"), rows=broken, columns=2), ["a text"])
"""


def minilm(device: str) -> Model:
    folder = str(folders.shipped("test"))
    return models.load_embedder(folders.Source("test", folder, device=device))


def moved(encoder: Encoder, kind: torch.dtype) -> Encoder:
    weights = {
        name: one.to("cuda", kind) if one.is_floating_point() else one
        for name, one in encoder.weights.items()
    }
    return Encoder(layout.Config.read(encoder.config.raw), weights)


@pytest.mark.parametrize(("kind", "most"), [EXACT, HALF])
@pytest.mark.parametrize("name", MODELS)
def test_embeddings_are_those_of_transformers(name: str, kind: torch.dtype, most: float) -> None:
    config = MODELS[name]
    model, encoder = made(config, "AutoModel")
    ids, types = inputs(config)
    with torch.inference_mode():
        rows = pooling.embedder(moved(encoder, kind), "mean", normalize=True)
        found = rows(Pack.make(ids, types, "cuda")).float().cpu()
        for one, some, own in zip(ids, types, found, strict=True):
            mean = theirs(model, config, one, some).last_hidden_state[0].mean(0)
            assert (own - mean / mean.norm()).abs().max() < most
    assert len(found) == len(LENGTHS)


@pytest.mark.parametrize(("kind", "most"), [EXACT, HALF])
@pytest.mark.parametrize("name", MODELS)
def test_chances_are_those_of_transformers(name: str, kind: torch.dtype, most: float) -> None:
    config = MODELS[name]
    model, encoder = made(config, "AutoModelForSequenceClassification")
    ids, types = inputs(config)
    with torch.inference_mode():
        there = moved(encoder, kind)
        found = pooling.classifier(there, there.weights)(Pack.make(ids, types, "cuda"))
        for one, some, own in zip(ids, types, found.float().cpu(), strict=True):
            other = theirs(model, config, one, some).logits[0]
            assert (own.softmax(0) - other.softmax(0)).abs().max() < most


def test_minilm_says_what_it_says_on_a_cpu() -> None:
    texts = invented_texts(300, seed=4)
    here, there = (np.concatenate(Engine().outputs(minilm(d), texts)) for d in ("cpu", "cuda"))
    assert np.abs(here - there).max() < 5e-3
    assert (here * there).sum(1).min() > 0.999


def test_real_out_of_memory_halves_the_pack_and_loses_nothing(caplog: Any) -> None:
    model, texts = minilm("cuda"), invented_texts(2_000, seed=6)
    whole = Engine().outputs(model, texts)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(
        (torch.cuda.memory_allocated() + (120 << 20)) / total
    )
    try:
        found = Engine().outputs(model, texts)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "out of accelerator memory" in caplog.text
    assert max(np.abs(a - b).max() for a, b in zip(whole, found, strict=True)) < 5e-3


def test_a_lost_context_ends_the_process_for_its_supervisor() -> None:
    ended = subprocess.run([sys.executable, "-c", STICKY], capture_output=True, timeout=120)
    # Where PyTorch frees what it held in the lost context, it aborts on the way out.
    assert ended.returncode in (70, -signal.SIGABRT), ended.stderr[-500:]
    assert b"the accelerator failed" in ended.stderr
