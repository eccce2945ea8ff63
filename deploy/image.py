"""What the image holds, found without an engine: `python -m deploy.image STAGE FOLDER`.

The instructions of deploy/Dockerfile that make the environment of a final stage are carried out
under a folder of this machine, and what is in it is printed, by package.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
# Folders of the build stages, which lie under the given folder here.
_PLACES = re.compile(r"(?<![\w./-])/(opt|src|wheels|data)\b")
_COMPILERS = re.compile(
    r"(cc|c\+\+|gcc|g\+\+|clang|clang\+\+|cpp|ld|as|make|cmake|ninja|nvcc)(-[\d.]+)?"
)
# What only builds or tests Vedette; PyTorch asks for setuptools.
_TOOLS = frozenset({"pip", "wheel", "pytest", "mypy", "hypothesis", "playwright"})
_OURS = ("tests", "training", "deploy")


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction; `said` is what follows its word and its flags."""

    word: str
    flags: tuple[str, ...]
    said: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage is made from, an image or a stage before it, and by which instructions."""

    name: str
    origin: str
    steps: list[Step] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Share:
    """A package of an environment and what it takes on the disk."""

    name: str
    version: str
    size_bytes: int


def steps_of(text: str) -> Iterator[Step]:
    """The instructions of a Dockerfile, without comments and line ends."""
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", " ", kept).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            flags = re.match(r"(--[\w-]+=\S+\s+)*", rest)
            taken = flags[0] if flags else ""
            yield Step(word.upper(), tuple(taken.split()), rest[len(taken) :])


def stages_of(text: str) -> dict[str, Stage]:
    """The stages of a Dockerfile by name; what stands before the first is in the stage ""."""
    stage = Stage("", "")
    found = {"": stage}
    for step in steps_of(text):
        if step.word == "FROM":
            origin, _, name = step.said.partition(" AS ")
            stage = found[name] = Stage(name, origin)
        else:
            stage.steps.append(step)
    return found


def build(stage: str, folder: Path) -> Path:
    """Carry a final stage's build stages out under a folder; the environment that they made."""
    stages, done = stages_of(DOCKERFILE.read_text(encoding="utf-8")), set[str]()
    for name in _needed(stages, stage):
        if name not in done:
            done.add(name)
            _carry_out(stages[name], folder)
    return folder / "opt" / "vedette"


def _needed(stages: dict[str, Stage], final: str) -> Iterator[str]:
    """The stages that a final one copies from, each after those that it needs."""
    for step in stages[final].steps:
        for flag in step.flags:
            if flag.startswith("--from="):
                yield from _line(stages, flag.removeprefix("--from="))


def _line(stages: dict[str, Stage], name: str) -> Iterator[str]:
    if stages[name].origin in stages:
        yield from _line(stages, stages[name].origin)
    yield from _needed(stages, name)
    yield name


def _carry_out(stage: Stage, folder: Path) -> None:
    here = folder / "src"
    here.mkdir(parents=True, exist_ok=True)
    told = dict(os.environ, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    for step in stage.steps:
        if step.word in {"ARG", "ENV"}:
            for one in step.said.split():
                key, _, value = one.partition("=")
                told[key] = os.environ.get(key, value) if step.word == "ARG" else value
        elif step.word == "COPY" and not step.flags:
            *froms, to = step.said.split()
            for name in froms:
                _copy(ROOT / name, here / (name if to.endswith("/") else to))
        elif step.word == "RUN":
            said = _PLACES.sub(lambda found: f"{folder}{found[0]}", step.said)
            subprocess.run(["/bin/sh", "-ec", said], cwd=here, env=told, check=True)


def _copy(what: Path, to: Path) -> None:
    if what.is_dir():
        shutil.copytree(what, to, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(what, to)


def packages(environment: Path) -> list[Share]:
    """The packages of an environment, largest first."""
    found = []
    for one in distributions(path=[str(_library(environment))]):
        files = (Path(str(one.locate_file(file))) for file in one.files or ())
        size = sum(file.stat().st_size for file in files if file.is_file())
        found.append(Share(one.name, one.version, size))
    return sorted(found, key=lambda one: (-one.size_bytes, one.name))


def surplus(environment: Path) -> list[str]:
    """What an image must not hold: compilers, tools that build and test, caches, our own tests."""
    library = _library(environment)
    found = [str(one) for one in (environment / "bin").iterdir() if _COMPILERS.fullmatch(one.name)]
    found += [one.name for one in packages(environment) if one.name.lower() in _TOOLS]
    found += [str(library / name) for name in _OURS if (library / name).exists()]
    return found + [str(one) for one in environment.rglob(".cache")]


def _library(environment: Path) -> Path:
    return next((environment / "lib").glob("python3.*/site-packages"))


def main() -> int:
    """Build, print, and say whether there is what should not be."""
    environment = build(sys.argv[1], Path(sys.argv[2]).absolute())
    shares = packages(environment)
    for one in shares:
        print(f"{one.size_bytes / 1e6:9.1f} MB  {one.name} {one.version}")
    print(f"{sum(one.size_bytes for one in shares) / 1e6:9.1f} MB  {len(shares)} packages")
    for name in (wrong := surplus(environment)):
        print(f"should not be there: {name}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
