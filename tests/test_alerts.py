"""What an alert says, under which labels, and what it keeps for itself."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.alerts import Alerts
from agent.config import load_config
from agent.errors import BadConfig
from agent.findings import Finding
from agent.store.findings import Kept
from consumers.alerts import alerts_of, change_of
from consumers.cli import app
from consumers.findings import as_json
from consumers.gauges import Gauges, labels_of
from consumers.metrics import Tally
from consumers.telling import ways_of
from tests.alerting import DRIFT, START, drift
from tests.exposition import BURNS, samples

PAGES = Alerts(link="https://vedette.example/", labels={"team": "llm"})


def told(*found: Finding, source: str = "live", alerts: Alerts = PAGES) -> list[dict[str, Any]]:
    return alerts_of([Kept(source, START, one) for one in found], alerts)


def test_an_alert_carries_the_numbers_and_the_link() -> None:
    (alert,) = told(DRIFT)
    assert alert["labels"] == {
        **{"alertname": "VedetteDrift", "severity": "warning", "team": "llm", "source": "live"},
        **{"service": "support", "model": "m-small", "variant": "production"},
        **{"metric": "response_relevance", "version": "told 1"},
    }
    assert alert["startsAt"] == "2026-01-01T00:00:00+00:00" and "endsAt" not in alert
    assert alert["generatorURL"] == f"https://vedette.example/findings#{DRIFT.key.hex()}"
    said = alert["annotations"]
    assert said["summary"] == DRIFT.summary
    numbers = [said[key] for key in ("state", "n", "statistic", "threshold", "effect", "lower")]
    assert numbers == ["firing", "312", "17.25", "16.5", "-0.15", "-0.19"]
    assert "baseline_mean 0.71" in said["description"]


def test_each_kind_has_its_name_and_an_unknown_number_is_left_out() -> None:
    (burns,) = told(BURNS)
    assert burns["labels"]["alertname"] == "VedetteBurnRate"
    assert burns["labels"]["objective"] == "fast" and burns["labels"]["severity"] == "critical"
    (unknown,) = told(drift(effect=float("nan")), alerts=Alerts())
    assert "effect" not in unknown["annotations"] and "generatorURL" not in unknown


def test_what_ended_says_when_and_never_covers_what_rings_under_the_same_labels() -> None:
    ended = drift("resolved", began=START - 900, as_of=START - 300)
    assert told(ended)[0]["endsAt"] == "2025-12-31T23:55:00+00:00"
    for both in ((ended, DRIFT), (DRIFT, ended)):
        (alert,) = told(*both)
        assert "endsAt" not in alert and alert["startsAt"].startswith("2026-01-01")
    assert len(told(DRIFT) + told(DRIFT, source="backfill")) == 2


@pytest.mark.parametrize("state", ["insufficient data", "could not tell"])
def test_what_cannot_be_told_is_not_called_resolved(state: Any) -> None:
    (alert,) = told(drift(state))
    assert "endsAt" not in alert and alert["annotations"]["state"] == state


HOSTILE = "evil\n\x1b[31mmodel\u202e\ud800" + "x" * 10_000


def test_hostile_names_are_cleaned_and_cut_wherever_they_go() -> None:
    name = (("service", HOSTILE), ("model", 'm"\\{}'), ("metric", "m" * 9000))
    one = drift(name=name, summary=f"{HOSTILE} fell", facts=(("examples", [HOSTILE]),))
    (alert,) = told(one)
    body = json.dumps(alert)
    assert len(body) < 6_000 and len(alert["labels"]["service"]) == 128
    change = change_of(Kept("live", START, one), PAGES)
    assert len(change) < 5_000 and json.loads(change)["model"] == 'm"\\{}'
    tally = Tally()
    Gauges(tally).findings([one])
    for text in (body, change.decode(), tally.page().decode()):
        assert not any(bad in text for bad in ("\\n", "\\u001b", "\x1b", "\\u202e", "\\ud800"))
    assert "examples" not in body  # calls stay in the store


def test_a_row_has_the_keys_that_are_scripted_against_and_the_new_ones() -> None:
    row = as_json(drift(effect=float("nan")), "https://x/")
    assert {"service", "model", "variant", "segment", "metric", "version", "state"} <= row.keys()
    assert {
        "side",
        "onset",
        "began",
        "n",
        "effect",
        "lower",
        "upper",
        "baseline_mean",
    } <= row.keys()
    new = {"kind", "severity", "summary", "statistic", "threshold", "link", "key", "as_of"}
    assert new <= row.keys() and not {"name", "facts"} & row.keys()
    assert row["effect"] is None and row["link"] == f"https://x/findings#{row['key']}"
    assert as_json(DRIFT, None)["link"] is None


def test_a_finding_is_six_numbers_and_goes_when_it_is_over() -> None:
    tally = Tally()
    gauges = Gauges(tally)
    gauges.findings([BURNS, drift("pending")])
    shown = [key for key in samples(tally) if key[0].startswith("vedette_finding_")]
    assert len(shown) == 12
    assert labels_of(BURNS) == ("burn_rate", "support", "", "", "5m/1h", "fast")
    drifts = labels_of(DRIFT)
    assert drifts == ("drift", "support", "m-small", "production", "", "response_relevance")
    gauges.findings([BURNS])
    page = tally.page().decode()
    assert 'state="pending"' not in page and 'state="firing"} 1.0' in page
    gauges.findings([])
    assert "vedette_finding_state{" not in tally.page().decode()


def test_a_storm_of_findings_is_a_bounded_page() -> None:
    tally = Tally()
    storm = [drift(name=(("service", "s"), ("model", f"m-{at}"))) for at in range(5000)]
    Gauges(tally).findings(storm)
    assert tally.page().decode().count("\nvedette_finding_") == 1200


def test_a_secret_is_never_printed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = "https://hooks.example/T0KEN"
    file = tmp_path / "webhooks"
    file.write_text(f"{secret}\nhttp://127.0.0.1:9/S3CRET\n")
    config = load_config(alerts={"webhook": secret, "webhook_file": str(file)})
    assert config.alerts.addresses() == [secret, secret, "http://127.0.0.1:9/S3CRET"]
    assert "T0KEN" not in repr(config) and "T0KEN" not in config.model_dump_json()
    with caplog.at_level(logging.INFO):
        way = ways_of(load_config(alerts={"webhook": "http://127.0.0.1:9/S3CRET"}))[0]
        with pytest.raises(Exception, match=r"cannot be reached \(ConnectError\)") as caught:
            way.deliver([Kept("live", START, DRIFT)])
        way.close()
    assert "S3CRET" not in caplog.text + str(caught.value)


@pytest.mark.parametrize(
    ("alerts", "key"),
    [
        ({"webhook": "ftp://T0KEN"}, "alerts.webhook"),
        ({"webhook": ["http://ok/", 5]}, "alerts.webhook"),
        ({"webhook_file": "no/such"}, "alerts.webhook_file"),
        ({"labels": {"alertname": "x"}}, "alerts.labels"),
        ({"labels": {"a-b": "x"}}, "alerts.labels.a-b"),
        ({"resend_s": 300}, "alerts.resend_s"),
        ({"link": "vedette.example"}, "alerts.link"),
        ({"topic": "llm-calls"}, "alerts.topic"),
        ({"topics": "x"}, "alerts.topics"),
    ],
)
def test_a_bad_key_is_named_in_one_line(alerts: dict[str, Any], key: str) -> None:
    with pytest.raises(BadConfig) as caught:
        ways_of(load_config(alerts=alerts))
    said = str(caught.value)
    assert said.startswith(f"{key}: ") and "\n" not in said and "T0KEN" not in said


def test_a_topic_without_a_broker_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "calls.jsonl").write_text("{}\n")
    config = tmp_path / "vedette.yaml"
    config.write_text(f"store: {{url: 'sqlite:///{tmp_path}/v.db'}}\nalerts: {{topic: found}}\n")
    done = CliRunner().invoke(app, ["watch", str(tmp_path / "calls.jsonl"), "-c", str(config)])
    assert isinstance(done.exception, BadConfig)
    assert str(done.exception).startswith("alerts.topic: needs a broker")
    assert not (tmp_path / "v.db").exists()
