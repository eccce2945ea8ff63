"""Apache Kafka from Maven artefacts: fetched once a checkout, then started with plain Java."""

import base64
import contextlib
import fcntl
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.local.child import Child, Unavailable

CACHE = Path(__file__).parents[2] / ".cache" / "kafka-4.4.0"
LIBS, ARCHIVE, FRESH = CACHE / "libs", CACHE / "classes.jsa", CACHE / "fresh.jsa"
# Serial collector, first compiler tier and a class archive: ready in 2 s instead of 4.5 s.
FLAGS = (
    "-Xms64m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Xshare:auto",
    "-Xlog:disable",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold the cache alone among the test runs of this checkout."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install() -> None:
    """Fetch the jars where they are not here yet; Unavailable where that cannot be."""
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise Unavailable(f"Kafka needs Java and Maven, or a container engine: no `{tool}`")
    if LIBS.exists():
        return
    pom, fresh = Path(__file__).with_name("pom.xml"), CACHE / "fresh"
    goal = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={fresh}")
    command = ("mvn", "-B", "-q", "-f", str(pom), *goal)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise Unavailable(f"Kafka's jars could not be fetched: {done.stdout[:300]}")
    fresh.rename(LIBS)


def spawn(folder: Path, ports: Sequence[int]) -> Child:
    """Start a broker on `folder/server.properties`, formatting its storage the first time."""
    return _spawn(folder, f"-XX:SharedArchiveFile={ARCHIVE}")


def spawn_recording(folder: Path, ports: Sequence[int]) -> Child:
    """The same without the class archive; one is written to FRESH when the broker is stopped."""
    return _spawn(folder, f"-XX:ArchiveClassesAtExit={FRESH}")


def cluster_id() -> str:
    """A random cluster id; one that begins with `-` would be read as an option by the tool."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not text.startswith("-"):
            return text


def answers(port: int) -> bool:
    """Whether a Kafka broker answers there; a container's port accepts before its server does."""
    # Length 10, ApiVersions (18) version 0, correlation id 1, no client id.
    ask = bytes.fromhex("0000000a 0012 0000 00000001 ffff")
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(ask)
            return connection.recv(1) != b""
    except OSError:
        return False


def _spawn(folder: Path, flag: str) -> Child:
    if not (folder / "data").exists():
        tool = (*_java(), "kafka.tools.StorageTool", "format", "-t", cluster_id())
        command = (*tool, "-c", "server.properties")
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    return Child((*_java(flag), "kafka.Kafka", "server.properties"), folder)


def _java(flag: str = "") -> tuple[str, ...]:
    # The archive holds only for the same list of jars, so never a wildcard.
    jars = ":".join(str(jar) for jar in sorted(LIBS.iterdir()))
    return ("java", *FLAGS, *([flag] if flag else []), "-cp", jars)
