"""compose.yaml and its files: bounded, pinned, alike for both that read them, and valid."""

import itertools
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.config import load_config
from consumers.cli_rules import rule_text
from deploy.places import FILE, Part, Places, merged, read_compose
from deploy.stack import Failed, Stack, main
from tests.rules import said, tool

FOLDER = FILE.with_name("compose")
COMPOSE = read_compose({})
SERVICES: dict[str, Any] = COMPOSE["services"]
ONCE = {"migrate", "topics"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_bounded(name: str) -> None:
    told = SERVICES[name]
    assert told["cap_drop"] == ["ALL"] and told["security_opt"] == ["no-new-privileges:true"]
    assert int(told["user"].split(":")[0]) > 0
    assert told.get("read_only") is True or name == "kafka"
    assert not told["image"].endswith(":latest") and ":" in told["image"]
    assert all(one.startswith("127.0.0.1:") for one in told.get("ports", ()))
    assert told["restart"] == ("on-failure" if name in ONCE else "unless-stopped")


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONCE))
def test_every_service_that_stays_is_asked_whether_it_lives(name: str) -> None:
    told = SERVICES[name]
    assert "test" in told.get("healthcheck", {}) or told["environment"]["LIVEZ"].endswith("/livez")


def test_what_is_waited_for_is_there_and_can_come() -> None:
    for told in SERVICES.values():
        for name, wish in told.get("depends_on", {}).items():
            ends = wish["condition"] == "service_completed_successfully"
            assert ends == (name in ONCE)
            assert ends or "healthcheck" in SERVICES[name]
    volumes = {one.split(":")[0] for told in SERVICES.values() for one in told.get("volumes", ())}
    assert {one for one in volumes if not one.startswith(".")} == set(COMPOSE["volumes"])
    assert all((FILE.parent / one).exists() for one in volumes if one.startswith("."))


def listened(name: str) -> set[str]:
    """The ports of a service, within the network."""
    told = SERVICES[name]
    return {one.rsplit(":", 1)[-1] for one in (*told.get("expose", ()), *told.get("ports", ()))}


def test_every_address_is_one_that_somebody_listens_on() -> None:
    texts = [
        file.read_text() for file in (FILE, *FOLDER.rglob("*.y*ml")) if file.name != "rules.yml"
    ]
    named = re.findall(rf"\b({'|'.join(SERVICES)}):(\d{{4,5}})\b", "\n".join(texts))
    assert len(named) > 8 and all(port in listened(name) for name, port in named)
    for name, told in SERVICES.items():
        asked = (
            *told.get("healthcheck", {}).get("test", ()),
            told.get("environment", {}).get("LIVEZ"),
        )
        ports = re.findall(r"127\.0\.0\.1[:/](\d+)", " ".join(filter(None, asked)))
        assert set(ports) <= listened(name), name


def test_what_is_kept_and_shown_lies_where_it_is_mounted() -> None:
    at = {
        name: [one.split(":")[1] for one in told.get("volumes", ())]
        for name, told in SERVICES.items()
    }
    assert SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"] in at["kafka"]
    for name in ("prometheus", "alertmanager"):
        (path,) = [
            word for word in SERVICES[name]["command"] if "storage" in word and "path=" in word
        ]
        assert path.partition("=")[2] in at[name]
    (shown,) = yaml.safe_load((FOLDER / "grafana/dashboards/vedette.yaml").read_text())["providers"]
    assert shown["options"]["path"] in at["grafana"]


def test_a_variable_wins_over_its_default() -> None:
    told = read_compose({"RATE": "9", "FAULT": "", "POSTGRES_PASSWORD": "mine"})["services"]
    assert told["simulator"]["command"][1:3] == ["--rate=9", "--fault=toxicity@60"]
    assert told["scorer"]["environment"]["PGPASSWORD"] == "mine"
    assert told["postgres"]["environment"]["POSTGRES_PASSWORD"] == "mine"


def test_the_rules_are_those_of_the_configuration() -> None:
    text = rule_text(load_config(FOLDER / "vedette.yaml"))
    assert (FOLDER / "rules.yml").read_text() == text, "run `make docs`"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(COMPOSE, tmp_path, {"prometheus.yml": {"global": {"scrape_interval": "1s"}}})


def test_prometheus_and_alertmanager_take_what_they_are_given(places: Places) -> None:
    for name, program, words in (
        ("prometheus", "promtool", ("check", "config")),
        ("alertmanager", "amtool", ("check-config",)),
    ):
        places.settle(Part(name))
        file = places.folder(Part(name)) / f"{name}.yml"
        said(tool(program), *words, str(file))


def test_each_part_has_ports_and_files_of_its_own(places: Places) -> None:
    first, second = places.parts("scorer")
    ports = [places.port(one, 9464) for one in (first, second)]
    assert ports[0] != ports[1]
    assert [places.text(one, "9464") for one in (first, second)] == [str(port) for port in ports]
    kafka = f"127.0.0.1:{places.port(Part('kafka'), 19092)}"
    assert places.text(first, "brokers: [kafka:19092]") == f"brokers: [{kafka}]"
    listeners = places.text(Part("kafka"), "INSIDE://0.0.0.0:19092")
    assert listeners == f"INSIDE://{kafka}"
    assert places.text(first, "/etc/vedette/vedette.yaml") == str(
        places.folder(first) / "vedette.yaml"
    )
    # What only looks like an address, or like a path of ours, stays.
    for text in ("name:1234", "kafka:1", "2026-01-01T00:00:00Z", "/etc/vedette/vedette.yaml.old"):
        assert places.text(first, text) == text


def test_prometheus_looks_at_every_replica(places: Places) -> None:
    places.settle(Part("prometheus"))
    tree = yaml.safe_load((places.folder(Part("prometheus")) / "prometheus.yml").read_text())
    scorers = [f"127.0.0.1:{places.port(one, 9464)}" for one in places.parts("scorer")]
    assert tree["scrape_configs"][0] == {
        "job_name": "scorer",
        "static_configs": [{"targets": scorers}],
    }
    assert tree["global"] == {"scrape_interval": "1s", "evaluation_interval": "5s"}


def test_trees_are_laid_over_each_other() -> None:
    assert merged({"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"c": [2]}, "e": None}) == {
        "a": {"b": 1, "c": [2]}, "d": 2, "e": None,
    }  # fmt: skip


class Fake:
    """A process that runs, or ends at once where it is one that does; `told` hears of it."""

    def __init__(self, part: Part, told: list[str], code: int | None) -> None:
        self._name, self._told, self._code = part.service, told, code
        told.append(f"start {part}")

    def exit_code(self) -> int | None:
        return self._code

    def ready(self) -> bool:
        return True

    def ask(self) -> None:
        self._told.append(f"ask {self._name}")

    def end(self) -> None:
        self._told.append(f"end {self._name}")


def acted(monkeypatch: pytest.MonkeyPatch, **codes: int) -> tuple[list[str], Callable[[], Stack]]:
    """What a stack of fakes does, by the codes of those that end."""
    told: list[str] = []

    def start(service: dict[str, Any]) -> Callable[[Part, Places], Fake]:
        return lambda part, _: Fake(part, told, codes.get(part.service))

    monkeypatch.setattr("deploy.stack.starter", start)
    return told, lambda: Stack(told.append, environment={})


def test_parts_start_after_what_they_need_and_end_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told, stack = acted(monkeypatch, migrate=0, topics=0)
    with stack() as one:
        began = told.copy()
        assert len(one.addresses()) == 4
    order = {line: at for at, line in enumerate(told)}
    assert order["start postgres-1"] < order["start migrate-1"] < order["start scorer-2"]
    assert order["start kafka-1"] < order["start topics-1"] < order["start shadow-1"]
    assert len(began) == len(SERVICES) + 1
    assert order["ask scorer"] < order["end scorer"] < order["end kafka"]
    assert not {"ask kafka", "ask postgres"} & set(told)
    assert not one.folder.exists()


@pytest.mark.parametrize(("name", "code"), [("migrate", 2), ("server", 0), ("scorer", 70)])
def test_a_part_that_ends_ends_all_of_it(
    monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    told, stack = acted(monkeypatch, **{"migrate": 0, "topics": 0, name: code})
    with pytest.raises(Failed, match=f"{name}-1 ended with {code}"), stack() as one:
        one.look()
    assert {line.split()[1] for line in told if line.startswith("end")} >= {"kafka", name}


def test_whatever_goes_wrong_at_the_end_all_of_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    told, stack = acted(monkeypatch, migrate=0, topics=0)

    def gone(_: Stack, part: Part) -> None:
        raise BrokenPipeError(part)

    with pytest.raises(BrokenPipeError), stack() as one:
        began = {line.split()[1].rpartition("-")[0] for line in told}
        monkeypatch.setattr(Stack, "_tell", gone)
    assert {line.split()[1] for line in told if line.startswith("end")} == began
    assert not one.folder.exists()


@pytest.fixture
def signals() -> Iterator[None]:
    """What a process does at a signal is again as it was after the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, did in before.items():
        signal.signal(number, did)


@pytest.mark.usefixtures("signals")
def test_sigterm_ends_what_was_started_even_while_it_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told, _ = acted(monkeypatch, migrate=0)  # the topics are never made: it waits for them
    looks = itertools.count()

    def exit_code(fake: Fake) -> int | None:
        if next(looks) == 100:
            os.kill(os.getpid(), signal.SIGTERM)
        return 0 if fake._name == "migrate" else None

    monkeypatch.setattr(Fake, "exit_code", exit_code)
    assert main() == 0
    began = {line.split()[1].rpartition("-")[0] for line in told if line.startswith("start")}
    assert {"kafka", "topics"} <= began and "scorer" not in began
    assert began == {line.split()[1] for line in told if line.startswith("end")}
    assert "stack:" not in capsys.readouterr().out
