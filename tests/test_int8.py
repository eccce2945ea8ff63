"""int8 twins: the graph is our forward pass, the gate refuses what moves scores."""

import importlib.util
import json
import shutil
import subprocess
import sys
from array import array
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agent import gate
from agent.config import Config, load_config
from agent.errors import BadConfig
from agent.gate import Tried, quantise_models
from agent.record import Call
from agent.score import load_panel, options_of
from agent.scoring import folders, load, pooling, quantise
from agent.scoring.classifiers import load_classifier
from agent.scoring.engine import Engine
from agent.scoring.forward import Pack
from agent.scoring.int8 import Figure, Gate, Twins, library, rectangles
from agent.scoring.models import load_suite
from agent.scoring.novelty import FEWEST_TEXTS, Novelty
from tests.test_engine import model as stub
from tests.test_forward import CONFIGS, inputs, made
from tests.test_scoring_models import CLASSES, WORDS, tokenizer, transformers

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None or importlib.util.find_spec("nncf") is None,
    reason="openvino or nncf is not installed: pip install 'vedette[openvino]'",
)
FAR = Figure("x", 200, 0.2, 0.05)
NOTHING = stub(lambda _: torch.zeros(1, 2))  # a model but for its rows


def folder_of(place: Path, seed: int = 7) -> Path:
    """A classifier of random weights, the smallest that scores."""
    torch.manual_seed(seed)
    told = transformers.BertConfig(
        hidden_size=32, intermediate_size=64, num_attention_heads=2, vocab_size=64,
        num_hidden_layers=2, max_position_embeddings=32, initializer_range=0.2, num_labels=3,
        id2label=dict(enumerate(CLASSES)), problem_type="multi_label_classification",
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(told).eval()
    with torch.no_grad():
        model.classifier.weight *= 2  # else all texts score alike
    model.save_pretrained(place)
    tokenizer().save(str(place / "tokenizer.json"))
    return place


def calls(n: int = 240) -> list[Call]:
    """Calls whose texts all differ."""
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(WORDS, rng.integers(2, 20))) for _ in range(2 * n)]
    pairs = zip(texts[:n], texts[n:], strict=True)
    return [Call(f"c{at}", 0.0, "m", prompt=p, response=r) for at, (p, r) in enumerate(pairs)]


def told(model: Path, **more: Any) -> Config:
    """The configuration of one scorer, asking a model of ours."""
    scorers = {"refusal": {"enabled": False}, "toxicity": {"model": str(model)}}
    return load_config(models=False, scorers=scorers, **more)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[Tried]]:
    """A classifier, the folder of its twin, and how that was made."""
    top = tmp_path_factory.mktemp("twin")
    model = folder_of(top / "model")
    return model, top / "int8", list(quantise_models(told(model), calls(), top / "int8"))


def run(graph: Any, pack: Pack) -> np.ndarray[Any, Any]:
    """A graph's rows, by OpenVINO in fp32."""
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = library("x").Core().compile_model(graph, "CPU", exact)
    known = {name for port in compiled.inputs for name in port.get_names()}
    feeds = [{k: v for k, v in feed.items() if k in known} for feed in rectangles(pack)]
    return np.concatenate([compiled(feed)[0] for feed in feeds])


@pytest.mark.parametrize("name", ["bert-relu", "roberta", "distilbert", "albert"])
def test_the_graph_gives_what_the_forward_pass_gives(name: str) -> None:
    _, encoder = made(CONFIGS[name], "AutoModelForSequenceClassification")
    pack = Pack.make(*inputs(CONFIGS[name]), "cpu")
    if name == "bert-relu":
        rows = pooling.embedder(encoder, "mean", normalize=True)
    else:
        rows = pooling.classifier(encoder, encoder.weights)
    with torch.inference_mode():
        wanted = rows(pack).numpy()
    graph = quantise.export(replace(NOTHING, rows=rows), "x")
    assert np.abs(run(graph, pack) - wanted).max() < 1e-4
    assert wanted.std() > 0.02


def test_deberta_is_refused_in_one_line() -> None:
    _, encoder = made(CONFIGS["deberta-v3"], "AutoModelForSequenceClassification")
    model = replace(NOTHING, rows=pooling.classifier(encoder, encoder.weights))
    with pytest.raises(
        BadConfig, match=r"^--int8-to: sums has no int8 .*deberta-v2.*; set int8: false"
    ):
        quantise.export(model, "--int8-to")


def test_rectangles_hold_every_text_in_order_and_few_tokens() -> None:
    rng = np.random.default_rng(2)
    lengths = [*sorted(rng.integers(2, 512, 90).tolist()), 40, 3, 1_200, 2]
    ids, found = [array("i", rng.integers(1, 99, n).tolist()) for n in lengths], []
    for feed in rectangles(Pack.make(ids, [array("i", [1] * n) for n in lengths], "cpu")):
        assert feed["ids"].size <= 1_024 or len(feed["ids"]) == 1
        assert (feed["ids"][~feed["real"]] == 0).all() and (feed["types"] == feed["real"]).all()
        found += [row[real].tolist() for row, real in zip(feed["ids"], feed["real"], strict=True)]
    assert found == [one.tolist() for one in ids]


def test_a_twin_that_passes_is_written_and_scores_as_its_model(
    twin: tuple[Path, Path, list[Tried]],
) -> None:
    model, folder, tried = twin
    # With weights as wild as these, activations pass on a CPU with VNNI and fail on one without.
    made = [(one.gate.method, one.gate.passed) for one in tried]
    assert made in ([("post-training", True)], [("post-training", False), ("weights", True)])
    assert tried[-1].place is not None and tried[-1].gate.speed > 0
    assert tried[-1].scorers == ("toxicity",)
    measured = {figure.what.partition(",")[0] for figure in tried[-1].gate.figures}
    assert measured == {"prompt_toxicity", "response_toxicity"}
    plain, int8 = (load_panel(told(model, int8=one)) for one in (None, folder))
    before, after = (one.score(calls(40))["prompt_toxicity"] for one in (plain, int8))
    moved = [abs((a.value or 0) - (b.value or 0)) for a, b in zip(before, after, strict=True)]
    assert 0 < max(moved) < 0.1
    versions = plain.versions["toxicity"], int8.versions["toxicity"]
    assert versions[1].startswith(f"{versions[0]}-openvino-int8-")
    assert list(folder.iterdir()) == [Path(tried[-1].place)]


def test_the_engine_gives_each_text_its_row_whatever_stands_beside_it(
    twin: tuple[Path, Path, list[Tried]],
) -> None:
    model = load_classifier(folders.Source("toxicity", str(twin[0]), int8=Twins(twin[1])))
    texts = ["w1", " ".join(WORDS * 9), "w5 w6 w7", "", "w1 w2"]
    together = Engine().outputs(model, texts)
    assert [len(rows) for rows in together] == [1, 8, 1, 1, 1]
    for text, rows in zip(texts, together, strict=True):
        assert np.abs(Engine().outputs(model, [text])[0] - rows).max() < 1e-4


def test_a_twin_that_moves_scores_is_refused_and_an_older_one_goes(
    twin: tuple[Path, Path, list[Tried]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = load_classifier(folders.Source("x", str(folder_of(tmp_path / "other", 8)), None, "cpu"))
    planted = quantise.export(other, "x")
    monkeypatch.setattr(quantise, "export", lambda *_: planted)
    folder = Path(shutil.copytree(twin[1], tmp_path / "int8"))
    tried = list(quantise_models(told(twin[0]), calls(), folder))
    assert [one.place for one in tried] == [None, None]
    assert list(folder.iterdir()) == []


def test_a_bar_that_nothing_can_pass_refuses_every_way(
    twin: tuple[Path, Path, list[Tried]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_MOVED", -1.0)
    tried = list(quantise_models(told(twin[0]), calls(), tmp_path))
    assert [one.gate.method for one in tried] == list(quantise.METHODS)
    assert [one.place for one in tried] == [None, None]
    assert not Figure("x", 9, float("nan"), 1.0).passed
    assert not Gate("m", "g", "weights", 1, ()).passed


def test_calls_that_prove_nothing_are_refused(
    twin: tuple[Path, Path, list[Tried]], tmp_path: Path
) -> None:
    with pytest.raises(BadConfig, match=r"^--int8-to: needs 200 calls, and there are 199$"):
        list(quantise_models(told(twin[0]), calls(199), tmp_path))
    with pytest.raises(BadConfig, match=r"^--int8-to: no scorer that is on asks a model$"):
        list(quantise_models(load_config(models=False), calls(), tmp_path))
    blank = [replace(call, prompt=None, response=None) for call in calls()]
    (tried,) = quantise_models(told(twin[0]), blank, tmp_path)
    assert not tried.gate.passed and tried.place is None


def _another_graph(place: Path) -> None:
    weights = (place / "model.bin").read_bytes()
    (place / "model.bin").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))


def _edit(place: Path, **change: Any) -> None:
    record = json.loads((place / "gate.json").read_text())
    (place / "gate.json").write_text(json.dumps(record | change))


@pytest.mark.parametrize(
    ("plant", "problem"),
    [
        (
            lambda place: _edit(place, model="classifier:000000000000"),
            "belongs to the model classifier:000000000000, not to classifier:",
        ),
        (_another_graph, "is not the graph that passed the gate"),
        (lambda place: _edit(place, figures=[asdict(FAR)]), "did not pass its gate"),
        (lambda place: _edit(place, instructions=["abacus"]), "CPU with abacus, and this one has"),
        (lambda place: (place / "gate.json").unlink(), r"has no gate\.json of .*--int8-to"),
        (lambda place: (place / "model.bin").unlink(), r"has no model\.bin of .*--int8-to"),
        (lambda place: (place / "gate.json").write_text("[]"), r"gate\.json cannot be read"),
        (lambda place: shutil.rmtree(place), r"has no gate\.json of .*int8: false"),
    ],
)
def test_what_did_not_pass_is_refused_before_any_record_is_read(
    twin: tuple[Path, Path, list[Tried]],
    tmp_path: Path,
    plant: Callable[[Path], object],
    problem: str,
) -> None:
    folder = Path(shutil.copytree(twin[1], tmp_path / "int8"))
    plant(next(folder.iterdir()))
    with pytest.raises(BadConfig, match=rf"^scorers\.toxicity\.int8: .*{problem}"):
        load_panel(told(twin[0], int8=folder))


def test_a_scorer_may_stay_as_it_is_and_a_gpu_runs_no_int8(
    twin: tuple[Path, Path, list[Tried]],
) -> None:
    whole = {"model": str(twin[0])}
    for more, marked in (({}, True), ({"int8": False}, False)):
        scorers = {"refusal": {"enabled": False}, "toxicity": {**whole, **more}}
        found = load_panel(load_config(models=False, scorers=scorers, int8=twin[1]))
        assert ("openvino" in found.versions["toxicity"]) == marked
    scorers = {"toxicity": {**whole, "device": "cuda"}}
    with pytest.raises(BadConfig, match=r"^scorers\.toxicity\.device: cuda does not run int8"):
        options_of(load_config(scorers=scorers, int8=twin[1]), "toxicity")
    assert options_of(load_config(int8=twin[1]), "bertscore").int8 is None


def test_without_the_packages_it_is_one_line(
    twin: tuple[Path, Path, list[Tried]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    needs = r"needs the packages of vedette\[openvino\]"
    with pytest.raises(BadConfig, match=rf"^scorers\.toxicity\.int8: int8 {needs}$"):
        load_panel(told(twin[0], int8=twin[1]))
    with pytest.raises(BadConfig, match=rf"^--int8-to: int8 {needs}$"):
        list(quantise_models(told(twin[0]), calls(), tmp_path))


def test_nothing_is_told_to_the_makers_of_the_library() -> None:
    code = (
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    assert event not in ('socket.connect', 'socket.getaddrinfo'), arguments\n"
        "sys.addaudithook(refuse)\n"
        "from agent.scoring.int8 import library\n"
        "library('x').Core()\n"
        "import nncf\n"
        "sys.exit(any(name.startswith('openvino_telemetry.') for name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()


def sentences(n: int) -> list[Call]:
    """Calls in English of our own, all different."""
    who = ("A baker", "The pilot", "My neighbour", "Their teacher", "An old friend")
    does = ("asks about", "writes down", "cannot find", "explains", "complains about", "paints")
    what = ("the tide table", "a tax return", "the garden", "two lost keys", "the harbour")
    why = ("before breakfast", "for the third time", "and is glad of it", "on a cold morning")
    parts = [(a, b, c, d) for a in who for b in does for c in what for d in why]
    texts = [f"{a} {b} {c} {d}." for a, b, c, d in parts]
    return [Call(f"s{at}", 0.0, "m", prompt=texts[at], response=texts[-1 - at]) for at in range(n)]


def test_the_shipped_suite_passes_on_english_and_starts_new_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantise, "METHODS", {"weights": quantise.METHODS["weights"]})
    (tried,) = quantise_models(load_config(), sentences(200), tmp_path)
    assert tried.gate.passed, tried.gate.figures
    measured = {figure.what for figure in tried.gate.figures}
    assert {"embedding, 1 - cosine, mean", "prompt_jailbreak, share across 0.8"} <= measured
    plain, int8 = load_panel(load_config()), load_panel(load_config(int8=tmp_path))
    for name, version in plain.versions.items():
        assert (int8.versions[name] == version) == (name not in tried.scorers), name
    assert {"toxicity", "relevance", "novelty", "refusal"} <= set(tried.scorers)
    suite = load_suite(folders.Source("x", int8=Twins(tmp_path)))
    (row,) = Engine().outputs(suite, ["The office opens at nine."])
    assert row.shape == (1, suite.columns) and (suite.device, suite.embedding) == ("cpu", None)
    baseline = Novelty(options_of(load_config(), "novelty"))
    said = [replace(call, response=None) for call in sentences(FEWEST_TEXTS)]
    baseline.save(baseline.learn(said), tmp_path / "base.npz")
    scorers = {"novelty": {"baseline": str(tmp_path / "base.npz")}}
    with pytest.raises(BadConfig, match=r"belongs to the model \w+, not to \w+-openvino-int8-"):
        load("novelty", options_of(load_config(scorers=scorers, int8=tmp_path), "novelty"))
