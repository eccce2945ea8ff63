"""TLS and SASL against a real broker that asks for them; no password ever gets out."""

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from agent.store import Store, open_store
from deploy.local.child import Unavailable
from tests.conftest import absent
from tests.live.asking import Asking, asks_of, next_one
from tests.live.broker import Broker
from tests.live.endpoint import Endpoint
from tests.live.test_kafka_road import produce, received
from tests.live.test_outages import Service, ended, everything_is_counted_once, serving
from tests.waiting import wait_until

USER, PASSWORD = "vedette", "canary-4711"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
TOPIC, N = "calls", 50
_MODULES = "org.apache.kafka.common.security"


def openssl(folder: Path, *words: str) -> None:
    try:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        absent(Unavailable("openssl, which makes the certificates, is not on the path"))


def certificates(folder: Path) -> None:
    """An authority, a certificate of the broker for `localhost` alone, and a stranger."""
    for name in ("ca", "stranger"):
        new = (
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
        )
        openssl(folder, *new, "-keyout", f"{name}.key", "-out", f"{name}.pem")
    wish = ("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost")
    openssl(folder, *wish, "-keyout", "broker.key", "-out", "broker.csr")
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    sign = ("x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2")
    openssl(folder, *sign, "-CAcreateserial", "-extfile", "names", "-out", "broker.pem")


def settings(folder: Path, address: str) -> dict[str, str]:
    """A listener that asks for TLS and a password; keys that stand already are added to."""
    own, port = "listener.name.secure", address.rpartition(":")[2]
    key, chain = (
        (folder / f"broker.{end}").read_text().replace("\n", "\\n") for end in ("key", "pem")
    )
    scram = f"{_MODULES}.scram.ScramLoginModule required;"
    return {
        "listeners": f"SECURE://{address}",
        "advertised.listeners": f"SECURE://localhost:{port}",
        "listener.security.protocol.map": "SECURE:SASL_SSL",
        f"{own}.ssl.keystore.type": "PEM",
        f"{own}.ssl.keystore.key": key,
        f"{own}.ssl.keystore.certificate.chain": chain,
        f"{own}.sasl.enabled.mechanisms": ",".join(MECHANISMS),
        f"{own}.plain.sasl.jaas.config": f"{_MODULES}.plain.PlainLoginModule required"
        f' user_{USER}="{PASSWORD}";',
        f"{own}.scram-sha-256.sasl.jaas.config": scram,
        f"{own}.scram-sha-512.sasl.jaas.config": scram,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    certificates(folder)
    return folder


@pytest.fixture(scope="module")
def guarded(folder: Path) -> Iterator[Broker]:
    try:
        with Broker(secure=lambda address: settings(folder, address)) as broker:
            admin = KafkaAdminClient(bootstrap_servers=broker.address)
            for kind in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
                wish = UserScramCredentialUpsertion(USER, kind, PASSWORD)
                assert admin.alter_user_scram_credentials([wish]) == {USER: None}
            admin.create_topics({TOPIC: {"num_partitions": 1, "replication_factor": 1}})
            admin.close()
            produce(broker, TOPIC, range(N))
            yield broker
    except Unavailable as why:
        absent(why)


def service(broker: Broker, folder: Path, run: Path, url: str, **other: Any) -> Service:
    security = {
        "protocol": "SASL_SSL",
        "mechanism": "PLAIN",
        "username": USER,
        "password": PASSWORD,
        "ca_file": str(folder / "ca.pem"),
    } | other
    group = f"g-{security['mechanism']}"
    brokers = f"localhost:{broker.secure_port}"
    return Service(run, TOPIC, brokers, url, security=security, group=group)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_road_through_tls_and_a_password(
    guarded: Broker, folder: Path, sqlite_url: str, tmp_path: Path, mechanism: str
) -> None:
    with serving(
        service(guarded, folder, tmp_path / "run", sqlite_url, mechanism=mechanism)
    ) as run:
        wait_until(lambda: run.says("/readyz")[0] == 200)
        with closing(open_store(sqlite_url, writer=False)) as store:
            wait_until(lambda: received(store) == N)
            page = run.says("/metrics")[1]
            assert ended(run) == 0, run.log()
            everything_is_counted_once(store, N)
    assert PASSWORD not in run.log() + page


REFUSED = [
    ({"password": "canary-wrong"}, "kafka.security: the broker refused the credentials"),
    (
        {"mechanism": "SCRAM-SHA-512", "password": "canary-wrong"},
        "kafka.security: the broker refused the credentials",
    ),
    ({"ca_file": "stranger.pem"}, "kafka.security.ca_file: "),
]


@pytest.mark.parametrize(("other", "words"), REFUSED)
def test_what_the_broker_or_we_refuse_is_one_line_without_the_secret(
    guarded: Broker,
    folder: Path,
    sqlite_url: str,
    tmp_path: Path,
    other: dict[str, str],
    words: str,
) -> None:
    if "ca_file" in other:
        other = {"ca_file": str(folder / other["ca_file"])}
    with serving(service(guarded, folder, tmp_path / "run", sqlite_url, **other)) as run:
        assert run.process is not None
        assert run.process.wait(60) == 2, run.log()
    assert run.log().splitlines()[-1].startswith(f"vedette: {words}")
    assert "canary" not in run.log()


def test_a_certificate_for_another_host_is_refused(
    guarded: Broker, folder: Path, sqlite_url: str, tmp_path: Path
) -> None:
    run = service(guarded, folder, tmp_path / "run", sqlite_url)
    path = tmp_path / "run" / "vedette.yaml"
    path.write_text(path.read_text().replace("localhost:", "127.0.0.1:"))
    with serving(run):
        assert run.process is not None
        assert run.process.wait(60) == 2, run.log()
    assert "kafka.security.ca_file: " in run.log().splitlines()[-1]
    assert "canary" not in run.log()


# Asked through another client than ours, which knows a password from a scram by its name.
WAYS = [pytest.param(one, marks=pytest.mark.prove) if one == "SCRAM-SHA-256" else one
        for one in MECHANISMS]  # fmt: skip


@pytest.mark.parametrize("mechanism", WAYS)
def test_candidates_are_asked_through_the_same_door(
    guarded: Broker, folder: Path, postgres_url: str, store: Store, tmp_path: Path, mechanism: str
) -> None:
    way = service(guarded, folder, tmp_path / "door", postgres_url, mechanism=mechanism)
    kafka = yaml.safe_load((way.folder / "vedette.yaml").read_text())["kafka"]

    def topic(partitions: int = 1, **_: str) -> str:
        name = f"shadow-{uuid.uuid4().hex[:8]}"
        admin = KafkaAdminClient(bootstrap_servers=guarded.address)
        wanted = {"num_partitions": partitions, "replication_factor": 1}
        admin.create_topics({name: wanted}, wait_for_metadata=True)
        admin.close()
        return name

    with Endpoint() as fake:
        one = next_one(fake.url, key="canary-key")
        run = Asking(tmp_path / "a", guarded, topic, postgres_url, None, kafka, next=one)
        with run.running() as process:
            run.send(*asks_of(store, 5))
            wait_until(lambda: len(run.answers()) == 5)
            process.terminate()
            assert process.wait(20) == 0, run.log()
    assert PASSWORD not in run.log() and "canary-key" not in run.log()
