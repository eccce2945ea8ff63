"""The page of experiments: each verdict, and one readout with the parts of its report."""

from pathlib import Path

import numpy as np

from agent.config import load_config
from agent.score import Panel
from agent.store import open_store
from consumers.service import watch_records
from tests.experiments import Told, split, told
from tests.road import as_bytes
from tests.serving import served


def test_a_guardrail_of_a_candidate_stands_beside_its_verdict(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    url, given = f"sqlite:///{tmp_path}/v.db", told(guardrails={"slo_fast": 0.02})
    kept = {"experiments": given.experiments, "inbox": given.inbox, "slo": given.slo}
    config = load_config(store={"url": url}, models=False, service=given.service)
    config, store = config.model_copy(update=kept), open_store(url)
    worse = [
        one | ({"latency_s": 3.0} if one["variant"] == "canary" and at % 3 == 0 else {})
        for at, one in enumerate(split(rng, 900, 0.2))
    ]
    watch_records(config, store, Panel([(Told(), 1.0)]), as_bytes(worse))
    store.close()
    with served(config) as client:
        (one,) = client.get("/api/experiments").json()["experiments"]
        ((rail,),) = (answer["guardrails"] for answer in one["answers"])
        assert (rail["metric"], rail["verdict"], rail["tone"]) == ("slo_fast", "worse", "bad")
        (answer,) = one["answers"]
        assert answer["verdict"] == "better" and answer["said"].endswith(
            "Z, but worse on slo_fast."
        )
        assert answer["outlook"].endswith(
            " The guardrail slo_fast is broken, which stays so as well."
        )
        readout = client.get("/experiments?name=x").text
        assert answer["tone"] == "bad", "nothing is green of what breaks a guardrail"
        assert '<section class="finding bad">' in readout
        assert answer["said"] in readout and answer["outlook"] in readout
        page = client.get("/experiments").text
        assert (
            'Guardrail slo_fast: <span class="bad"><span aria-hidden="true">✕</span> worse' in page
        )


def test_a_verdict_and_its_readout_are_shown(tmp_path: Path, rng: np.random.Generator) -> None:
    url = f"sqlite:///{tmp_path}/v.db"
    given = told(margin=0.05)
    config = load_config(store={"url": url}, models=False, service=given.service)
    config = config.model_copy(update={"experiments": given.experiments, "inbox": given.inbox})
    store = open_store(url)
    watch_records(config, store, Panel([(Told(), 1.0)]), as_bytes(split(rng, 600, 0.2)))
    store.close()
    with served(config) as client:
        (one,) = client.get("/api/experiments").json()["experiments"]
        (answer,) = one["answers"]
        assert (one["name"], answer["verdict"], answer["tone"]) == ("x", "better", "good")
        lines = client.get("/api/experiments?name=x").json()["readout"]["lines"]
        assert {line["role"] for line in lines} >= {"primary", "check"}
        page = client.get("/experiments?name=x").text
        for part in ("What is compared", "Reasons to distrust it", "Sample ratio", 'class="band"'):
            assert part in page
        assert "style=" not in page
        assert "No experiment is called &lt;y&gt;" in client.get("/experiments?name=<y>").text
