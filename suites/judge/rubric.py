"""Rubrics: what a judge is asked of an answer, and what it may say."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from agent.buckets import event_key
from agent.errors import BadConfig
from agent.tree import Tree, Word, parse_yaml, refusal

Part = Literal["prompt", "reference", "contexts"]
# A Markdown file begins and ends its keys with it; what follows is the question.
_FENCE = "---"
_FILE_CHARS = 100_000


class Canary(Tree):
    """An answer whose verdict is known: at the low end of the labels, or at the high one."""

    prompt: str
    answer: str
    reference: str | None = None
    verdict: Literal["low", "high"]


class Rubric(Tree):
    """One question about an answer, and the labels that answer it, the worst first.

    `labels` gives each its meaning; `scale: 5` stands for the labels 1 to 5. Their values are
    evenly spaced from 0 to 1.
    """

    name: Word
    question: str = Field(min_length=1)
    labels: dict[str, str] | None = None
    scale: int | None = Field(default=None, ge=2, le=10)
    # What is shown of the call beside its answer; an item that lacks one of them is not judged.
    reads: tuple[Part, ...] = ("prompt",)
    canaries: tuple[Canary, ...] = ()

    @model_validator(mode="after")
    def _has_labels(self) -> "Rubric":
        if (self.labels is None) == (self.scale is None):
            raise ValueError("needs either `labels` or `scale`")
        if self.labels is not None and len(self.labels) < 2:
            raise ValueError("needs two labels at least")
        return self

    @property
    def values(self) -> dict[str, float]:
        """The value of each label, 0 for the worst."""
        names = list(self.labels or map(str, range(1, (self.scale or 0) + 1)))
        return {name: at / (len(names) - 1) for at, name in enumerate(names)}

    @property
    def metric(self) -> str:
        """The metric that its verdicts are kept as."""
        return f"judge_{self.name}"

    @property
    def digest(self) -> str:
        """What tells its verdicts from those of another question; canaries ask the same."""
        asked = self.model_dump(mode="json", exclude={"canaries"})
        return event_key("rubric", json.dumps(asked, sort_keys=False)).hex()


def shipped() -> tuple[str, ...]:
    """The rubrics that come with Vedette."""
    found = (one.name for one in files("suites.judge").joinpath("rubrics").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml")))


def load_rubric(name: str, folder: Path) -> Rubric:
    """A shipped rubric by its name, or one of a file in YAML or Markdown, seen from `folder`.

    Raises BadConfig with one line that names the file and the key.
    """
    if name in shipped():
        text = files("suites.judge").joinpath("rubrics", f"{name}.yaml").read_text("utf-8")
        return _rubric(text, name)
    path = folder / Path(name).expanduser()
    if path.suffix not in (".yaml", ".yml", ".md"):
        known = ", ".join(shipped())
        raise BadConfig(f"judge.rubrics: {name}", f"is neither a .yaml or .md file nor {known}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(str(path), f"cannot be read ({type(error).__name__})") from None
    return _rubric(text, str(path))


def _rubric(text: str, where: str) -> Rubric:
    if len(text) > _FILE_CHARS:
        raise BadConfig(where, f"is longer than {_FILE_CHARS} characters")
    question = None
    if text.startswith(_FENCE):
        keys, found, question = text[len(_FENCE) :].partition(f"\n{_FENCE}\n")
        if not found:
            raise BadConfig(where, f"has no second line {_FENCE} that ends its keys")
        text = keys
    tree = parse_yaml(text, where)
    if question is not None:
        if "question" in tree:
            raise BadConfig(where, "has a question in its keys and one below them")
        tree["question"] = question.strip()
    try:
        return Rubric(**tree)
    except (TypeError, ValidationError) as error:
        why = refusal(error, "rubric") if isinstance(error, ValidationError) else error
        raise BadConfig(where, str(why)) from None
