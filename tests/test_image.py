"""The Dockerfile by inspection: what its last stages hold, run as and answer to."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.config import load_config
from consumers.exporter import Health, serve
from consumers.recorder import instruments
from deploy import live
from deploy.image import DOCKERFILE, Stage, Step, packages, stages_of, surplus

ROOT = Path(__file__).parents[1]
TEXT = DOCKERFILE.read_text(encoding="utf-8")
# What a final stage may copy: from which stage, and what.
COPIED = {
    ("", "deploy/live.py"),
    ("", "${MODELS}"),
    ("build", "/data"),
    ("cpu-build", "/opt/vedette"),
    ("gpu-build", "/opt/vedette"),
}


def line_of(stages: dict[str, Stage], name: str) -> Iterator[Step]:
    """The instructions of a stage and of those that it is made from, in order."""
    if stages[name].origin in stages:
        yield from line_of(stages, stages[name].origin)
    yield from stages[name].steps


def source_of(step: Step) -> tuple[str, str]:
    """The stage that something is copied from, and what."""
    froms = [flag.partition("=")[2] for flag in step.flags if flag.startswith("--from=")]
    return "".join(froms), " ".join(step.said.split()[:-1])


def faults_of(text: str) -> Iterator[str]:
    """What is wrong with a Dockerfile of ours, a line each."""
    stages = stages_of(text)
    pinned = "${BASE}${BASE_DIGEST:+@${BASE_DIGEST}}"
    for stage in list(stages.values())[1:]:
        if stage.origin != pinned and stage.origin not in stages:
            yield f"{stage.name}: made from {stage.origin}, which no digest pins"
    for step in (step for stage in stages.values() for step in stage.steps):
        if step.word == "ADD":
            yield "ADD"
        if step.word in {"ARG", "ENV"} and re.search(r"(?i)password|secret|token|_key", step.said):
            yield f"a secret in {step.word}"
    if "://" in text:
        yield "an address"
    for name in ("cpu", "gpu"):
        yield from _final_faults(name, list(line_of(stages, name)))


def _final_faults(name: str, steps: list[Step]) -> Iterator[str]:
    last = {step.word: step.said for step in steps}
    if "RUN" in last:
        yield f"{name}: runs {last['RUN']}"
    for step in steps:
        if step.word == "COPY" and source_of(step) not in COPIED:
            yield f"{name}: copies {' '.join(source_of(step))}"
    if ("COPY", f"{name}-build") not in {(s.word, source_of(s)[0]) for s in steps}:
        yield f"{name}: holds no environment of its own"
    if not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", last.get("USER", "")):
        yield f"{name}: user {last.get('USER')}"
    if not re.search(r'CMD \["python", .*"/opt/live.py"\]$', last.get("HEALTHCHECK", "")):
        yield f"{name}: no health check by liveness"
    if last.get("ENTRYPOINT") != '["vedette"]':
        yield f"{name}: SIGTERM goes to a shell"
    if last.get("STOPSIGNAL") != "SIGTERM":
        yield f"{name}: is not stopped by SIGTERM"


def test_the_dockerfile_is_as_it_should_be() -> None:
    assert list(faults_of(TEXT)) == []


@pytest.mark.parametrize(
    ("was", "planted", "fault"),
    [
        ("FROM base AS runtime", "FROM debian:12 AS runtime", "runtime: made from debian:12"),
        ("USER 10001:10001", "USER 0", "cpu: user 0"),
        ("USER 10001:10001", "USER vedette", "gpu: user vedette"),
        ("USER 10001:10001\n", "", "cpu: user None"),
        ("WORKDIR /data", "WORKDIR /data\nRUN apt-get install -y gcc", "runs apt-get"),
        ("COPY deploy/live.py /opt/live.py", "COPY . /opt", "copies  ."),
        ("--from=gpu-build /opt/vedette", "--from=gpu-build /", "gpu: copies gpu-build /"),
        ("COPY --from=gpu-build", "COPY --from=cpu-build", "gpu: holds no environment of its own"),
        ("COPY deploy/live.py", "ADD deploy/live.py", "ADD"),
        ('"/opt/live.py"]', '"/opt/ready.py"]', "no health check by liveness"),
        ('ENTRYPOINT ["vedette"]', "ENTRYPOINT vedette", "a shell"),
        ("STOPSIGNAL SIGTERM", "STOPSIGNAL SIGKILL", "is not stopped by SIGTERM"),
        ("ARG EXTRAS=shadow", "ARG INDEX_TOKEN=", "a secret in ARG"),
        ("ARG TORCH_CPU_INDEX=", "ARG TORCH_CPU_INDEX=https://example.org", "an address"),
    ],
)
def test_a_fault_is_found(was: str, planted: str, fault: str) -> None:
    assert was in TEXT
    found = list(faults_of(TEXT.replace(was, planted)))
    assert any(fault in one for one in found), found


def test_the_context_holds_what_is_copied_and_little_else() -> None:
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    stages = stages_of(TEXT)
    default = next(s.said for s in stages["runtime"].steps if s.said.startswith("MODELS="))
    copied = {default.partition("=")[2]}
    for stage in stages.values():
        for step in stage.steps:
            if step.word == "COPY" and not step.flags:
                copied |= {one for one in step.said.split()[:-1] if one != "${MODELS}"}
    assert "*" in kept
    assert {one[1:] for one in kept if one.startswith("!")} == copied
    assert all((ROOT / one).exists() for one in copied)


def test_the_image_holds_every_package_of_ours() -> None:
    steps = stages_of(TEXT)["wheel"].steps
    copied = {s.said.split()[0] for s in steps if s.word == "COPY"}
    ours = {one.parent.name for one in ROOT.glob("*/__init__.py")} - {"tests", "training", "deploy"}
    assert ours <= copied


def test_liveness_is_what_the_process_says_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    tally, _ = instruments(load_config())
    health = Health(stall_s=10, clock=lambda: now[0])
    health.ready(False, "the broker is away")
    with closing(serve(tally, health, port=0)) as server:
        url = f"http://127.0.0.1:{server.port}/livez"
        monkeypatch.setenv("LIVEZ", f"http://127.0.0.1:1/livez {url}")
        assert live.main() is None, "not ready is no reason to start a process again"
        now[0] = 11.0
        assert live.main() == f"{url}: 503"
    assert (live.main() or "").startswith(f"{url}: ")


def test_liveness_is_asked_where_roles_answer_by_default() -> None:
    config = load_config()
    asked = re.findall(r"http://127\.0\.0\.1:(\d+)/livez", live.DEFAULT)
    assert asked == [str(config.exporter.port), str(config.server.port)]


def test_what_should_not_be_in_an_environment_is_named(tmp_path: Path) -> None:
    library = tmp_path / "lib" / "python3.11" / "site-packages"
    for name in ("one", "pytest"):
        info = library / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "RECORD").write_text(f"{name}.py,,\n")
        (library / f"{name}.py").write_text("x" * 7)
    (library / "tests").mkdir()
    (tmp_path / "bin").mkdir()
    for name in ("g++-12", "vedette"):
        (tmp_path / "bin" / name).touch()
    assert [(one.name, one.size_bytes) for one in packages(tmp_path)] == [("one", 7), ("pytest", 7)]
    assert surplus(tmp_path) == [
        str(tmp_path / "bin" / "g++-12"), "pytest", str(library / "tests")
    ]  # fmt: skip
