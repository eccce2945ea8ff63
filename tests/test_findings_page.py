"""How a finding reads, on the page of findings and in the terminal."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Console

from agent.findings import Finding
from agent.store import open_store
from consumers.cli_findings import findings_table
from consumers.findings import as_json
from consumers.server.words import shown
from tests.alerting import NAME, START, drift, kept
from tests.exposition import BURNS
from tests.serving import served, told

RANK = drift(name=(*NAME[:3], ("metric", "latency"), ("view", "rank")))
GAP = Finding(
    "fairness", (("service", "support"), ("segment", "tenant=a"), ("metric", "latency")), "firing",
    "warning", START, START, "a gap", 90, 20.0, 16.0, -0.2, -0.3, -0.1, (("others_mean", 0.75),),
)  # fmt: skip


def _page(tmp_path: Path, *found: Finding) -> str:
    config = told(tmp_path)
    store = open_store(config.store.url.get_secret_value())
    kept(store, *found)
    store.close()
    with served(config, clock=lambda: START + 60.0) as client:
        return client.get("/findings").text


def test_a_view_of_a_metric_is_not_taken_for_the_metric(tmp_path: Path) -> None:
    page = _page(tmp_path, RANK, drift())
    assert "<h2>latency, rank among the baseline&#39;s values, 0 to 1 <small>" in page
    assert "<h2>response_relevance <small>" in page


def test_a_chosen_model_stays_chosen_from_page_to_page(tmp_path: Path) -> None:
    config = told(tmp_path)
    store = open_store(config.store.url.get_secret_value())
    other = drift(name=tuple({**dict(NAME), "model": "another", "variant": "canary"}.items()))
    whole = drift(name=tuple({**dict(NAME), "model": "*"}.items()))
    kept(store, drift(), other, whole)
    store.close()
    mine = dict(NAME)["model"]
    with served(config, clock=lambda: START + 60.0) as client:
        rows = client.get(f"/api/findings?model={mine}").json()["findings"]
        assert {one["model"] for one in rows} == {mine, "*"}, "what is of all is of it too"
        page = client.get("/findings?model=another").text
        assert (
            "Only another." in page and '<input type="hidden" name="model" value="another">' in page
        )
        link = "model=another&amp;variant=canary&amp;metric=response_relevance"
        assert f'"/?service=support&amp;{link}"' in page
        assert f'"/calls?service=support&amp;{link}"' in page


def test_what_is_over_is_not_called_now(tmp_path: Path) -> None:
    assert "<dt>Now</dt>" in _page(tmp_path, RANK)
    over = (replace(one, state="resolved") for one in (RANK, GAP))
    page = _page(tmp_path, *over)
    assert "<dt>Now</dt>" not in page
    assert "<dt>While it rang</dt>" in page and "<dt>At the last look</dt>" in page


def test_a_table_has_where_a_thing_stood_and_where_it_stands() -> None:
    burns = replace(BURNS, facts=(("target", 0.99),))
    ended = replace(BURNS, state="resolved", effect=float("nan"), facts=())
    out = StringIO()
    rows = [as_json(one, None) for one in (RANK, GAP, burns, ended)]
    Console(file=out, width=300).print(findings_table(rows))
    rank, gap, burn, gone = out.getvalue().splitlines()[-4:]
    assert rank.split()[-5:] == ["0.7100", "0.5600", "[0.5200,", "0.6000]", "312"]
    assert gap.split()[-5:] == ["0.7500", "0.5500", "[0.4500,", "0.6500]", "90"]
    assert burn.split()[-5:] == ["0.0100", "0.0600", "[0.0500,", "0.0700]", "900"]
    assert gone.startswith("resolved") and "0.0500" not in gone


def test_a_small_amount_keeps_its_digits() -> None:
    assert shown(3.14e-8, "usd") == "0.0000000314 $" and shown(0.00123456, "usd") == "0.00123 $"
