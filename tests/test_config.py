"""The environment and the file: what they set, what is not ours, and what is refused."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from agent.config import load_config
from agent.errors import BadConfig, StoreDown
from agent.score import options_of
from agent.store import reach


def test_what_kubernetes_tells_of_services_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VEDETTE", "VEDETTE_SERVER", "VEDETTE_SERVICE"):
        address = "tcp://10.0.0.11:8080"
        told = {"SERVICE_HOST": "10.0.0.11", "SERVICE_PORT": "8080", "SERVICE_PORT_HTTP": "8080"}
        told |= {"PORT": address, "PORT_8080_TCP": address, "PORT_8080_TCP_PROTO": "tcp"}
        told |= {"PORT_8080_TCP_PORT": "8080", "PORT_8080_TCP_ADDR": "10.0.0.11"}
        for end, value in told.items():
            monkeypatch.setenv(f"{name}_{end}", value)
    assert load_config() == load_config(server={"port": 8080})


def test_a_device_is_one_that_scorers_run_on() -> None:
    for device in ("auto", "cpu", "cuda", "cuda:1"):
        told = load_config(scorers={"toxicity": {"device": device}})
        assert told.scorers["toxicity"].device == device
    for device in ("cpu:0", "meta", "banana", "cuda:", "CPU"):
        with pytest.raises(BadConfig, match=r"^scorers\.toxicity\.device: "):
            load_config(scorers={"toxicity": {"device": device}})


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("repetition", "model", "some/model"),
        ("pii", "sha256", "abc"),
        ("language", "device", "cuda"),
        ("overlap", "device", "cpu"),
    ],
)
def test_a_scorer_is_told_nothing_that_it_does_not_read(name: str, key: str, value: str) -> None:
    told = load_config(scorers={name: {key: value}})
    with pytest.raises(BadConfig, match=rf"^scorers\.{name}\.{key}: {name} runs no model$"):
        options_of(told, name)
    whole = load_config(scorers={"overlap": {"model": "w", "sha256": "a"}})
    assert options_of(whole, "overlap").model == "w"
    with pytest.raises(BadConfig, match=r"^scorers\.toxicity\.model: "):
        load_config(scorers={"toxicity": {"model": ""}})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VEDETTE_SERVER_PORT", "8080"),
        ("VEDETTE_PORT", "8080"),
        ("VEDETTE_STORE_URL", "sqlite:///v.db"),
        ("VEDETTE_PORTS__HTTP", "8080"),
        ("VEDETTE_EXPORT_9464_TCPS", "1"),
    ],
)
def test_a_mistyped_variable_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadConfig, match=f"{name}: unknown key in the environment"):
        load_config()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("drift:", "drift: holds nothing: {} takes the defaults, no key leaves it off"),
        ("fairness:", "fairness: holds nothing: "),
        ("kafka: {brokers: ['localhost:x']}", "kafka.brokers: 'localhost:x' is no HOST:PORT"),
        ("kafka: {brokers: ['a:1,b:2']}", "kafka.brokers: "),
        ("kafka: {brokers: ['a:99999']}", "kafka.brokers: "),
        ("kafka: {topics: {..: {}}}", "kafka.topics.."),
        ("kafka: {scored: ..}", "kafka.scored: "),
        ("kafka: {group: ''}", "kafka.group: "),
        ("limits: {stall_s: .inf}", "limits.stall_s: Input should be a finite number"),
    ],
)
def test_what_would_be_off_or_never_work_is_refused(
    tmp_path: Path, written: str, said: str
) -> None:
    (file := tmp_path / "v.yaml").write_text(written)
    with pytest.raises(BadConfig) as error:
        load_config(file)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["VEDETTE_KAFKA__BROKERS", "VEDETTE_SEGMENTS", "VEDETTE_STORE"])
def test_a_list_in_the_environment_is_json(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "localhost:9092")
    with pytest.raises(BadConfig, match=f"^{name}: a list or a mapping stands"):
        load_config()


@pytest.mark.parametrize(
    "url", ["postgresql://v:Tr0ub@dor:s3cret@localhost/v", "postgresql://v:1:2"]
)
def test_an_address_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(BadConfig) as error:
        reach(url)
    assert str(error.value) == "store.url: is not a database address"


def test_what_postgresql_says_of_an_address_is_one_line(postgres_url: str) -> None:
    def said(**changes: Any) -> str:
        url = make_url(postgres_url).set(**changes).render_as_string(hide_password=False)
        with (
            pytest.raises((BadConfig, StoreDown)) as error,
            closing(reach(url)) as store, store.transaction(),
        ):  # fmt: skip
            pass
        assert "\n" not in str(error.value)
        return str(error.value)

    assert said(username="nobody") == 'database: refused (role "nobody" does not exist)'
    assert said(database="nowhere") == 'database: refused (database "nowhere" does not exist)'
    assert "invalid" in said(query={"foo": "bar"}) and "foo" in said(query={"foo": "bar"})


def test_options_of_a_postgresql_address_are_kept(postgres_url: str) -> None:
    url = make_url(postgres_url).set(query={"options": "-csearch_path=mine"})
    where = url.render_as_string(hide_password=False)
    with closing(reach(where)) as store, store.transaction() as tx:
        assert tx.exec_driver_sql("SHOW search_path").scalar() == "mine"
        assert tx.exec_driver_sql("SHOW lock_timeout").scalar() != "0"
