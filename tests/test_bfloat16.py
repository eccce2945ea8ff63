"""Half precision on a CPU: the scores nearly stay, and their version says what they are of."""

import numpy as np
import pytest
import torch

from agent.config import load_config
from agent.errors import BadConfig
from agent.score import load_panel, options_of
from agent.scoring import cpu, folders, models
from agent.scoring.bench import invented_texts
from agent.scoring.engine import Engine
from agent.scoring.models import load_suite


@pytest.fixture
def amx(monkeypatch: pytest.MonkeyPatch) -> None:
    # Every CPU can: without it only slower.
    monkeypatch.setattr(cpu, "flags", lambda: frozenset({"amx_bf16"}))


def test_the_shipped_heads_say_nearly_the_same(amx: None) -> None:
    whole, half = (
        load_suite(folders.Source("x", device="cpu", bfloat16=there)) for there in (False, True)
    )
    texts, heads = [*invented_texts(12, seed=3), ""], len(whole.labels)
    rows, other = (np.concatenate(Engine().outputs(model, texts)) for model in (whole, half))
    for column in range(heads):
        moved = np.abs(whole.chances(rows, column) - half.chances(other, column))
        assert 0 < moved.max() < 0.05
    assert (rows[:, heads:] * other[:, heads:]).sum(1).min() > 0.999


def test_a_version_says_it_and_one_engine_keeps_both_apart(amx: None) -> None:
    whole, half = (load_suite(folders.Source("x", device="cpu", bfloat16=b)) for b in (False, True))
    assert half.digest == f"{whole.digest}-bfloat16" and half.key != whole.key
    assert whole.embedding is not None and half.embedding is not None
    assert half.embedding.key != whole.embedding.key
    config = load_config(models=False, bfloat16=True, scorers={"relevance": {"device": "cpu"}})
    version = load_panel(config).metric_versions["response_relevance"]
    assert version == f"relevance 3+{half.embedding.digest}" and version.endswith("-bfloat16")


def test_a_cpu_that_is_slower_by_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "flags", lambda: frozenset({"avx512_bf16"}))
    config = load_config(models=False, bfloat16=True, scorers={"toxicity": {"device": "cpu"}})
    assert options_of(config, "toxicity").bfloat16
    for loaded in (models._suite, models.plain_encoder):
        loaded.cache_clear()
    with pytest.raises(BadConfig, match="bfloat16: this CPU has no amx_bf16"):
        load_panel(config)
    with pytest.raises(BadConfig, match="bfloat16: and int8 are two ways"):
        load_config(bfloat16=True, int8="folder")


def test_what_an_accelerator_computes_has_a_version_and_a_memory_of_its_own(amx: None) -> None:
    folder = folders.shipped("x")
    half = models.plain_encoder(folder, "0", "cpu", True)
    here, there = (
        models.model_of("mean:0", "0", folder, half, half.hidden, (), device)
        for device in ("cpu", "cuda")
    )
    assert here.digest == there.digest == "0-bfloat16" and here.key != there.key


@pytest.mark.parametrize(("capability", "chosen"), [((7, 5), "cpu"), ((8, 0), "cuda")])
def test_an_accelerator_without_bfloat16_is_left_alone(
    capability: tuple[int, int], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert models.device_of(folders.Source("x")) == chosen


def test_an_accelerator_that_is_busy_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nMore.")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", busy)
    with pytest.raises(BadConfig, match=r"^scorers\.bertscore\.device: cuda is not there: .* unav"):
        models.load_states(folders.Source("bertscore"))


def test_an_accelerator_without_bfloat16_that_is_asked_for_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
    with pytest.raises(BadConfig, match=r"^scorers\.x\.device: cuda is older than Ampere"):
        models.device_of(folders.Source("x", device="cuda"))
