"""The suite file: tasks, targets and the bounds of a run; an unknown key is an error."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator

from agent.catalog import Dimension, metric_named
from agent.errors import BadConfig
from agent.scoring import names as scorers
from agent.shadows import Budget, Candidate, Price
from agent.tree import Name, Tree, read_yaml, refusal
from shadow.client import SAMPLING
from shadow.loading import Precision
from shadow.probes import CHANGES
from suites import checks
from suites.analysis.weights import WEIGHTS, Weighing
from suites.answers import FIELDS as ANSWER_FIELDS
from suites.compliance.settings import Compliance
from suites.gate import Rule
from suites.kinds import SHIPPED
from suites.mappings import READY, fields_of

# Where a template says that prompt and contexts go; every other brace stays as it is.
PROMPT, CONTEXTS = "{prompt}", "{contexts}"


def _known(found: tuple[str, ...], known: tuple[str, ...]) -> None:
    for name in found:
        if name not in known:
            raise ValueError(f"{name} is unknown; known are {', '.join(known) or 'none'}")


class Task(Tree):
    """Questions of one dataset, how they are put, and what the answers are checked for."""

    # A file (.jsonl, .csv, .parquet; the first two may be .gz) or hub:NAME[:CONFIG]#SPLIT. A kind
    # with questions of our own (suites/kinds) can do without.
    data: str | None = None
    # Whether those questions are asked too.
    shipped: bool = True
    # A ready mapping, or the column of each field.
    mapping: str | dict[str, str] = "plain"
    # Only rows whose columns hold these values.
    where: dict[str, str] = Field(default_factory=dict)
    kind: str = "qa"
    template: str = PROMPT
    # Said to the model before everything else.
    system: str | None = None
    # So many other questions of the dataset with their references go before each, drawn by seed.
    few_shot: int = Field(default=0, ge=0, le=64)
    # So many of the questions, drawn by seed.
    limit: int | None = Field(default=None, ge=1)
    # What of an answer is matched with the reference: the last match, or its first group.
    extract: str | None = None
    # Default: those that fit the data.
    scorers: tuple[str, ...] | None = None
    # Beside those of its kind.
    checks: tuple[str, ...] = ()
    # Changes after which an answer should stay as it is (shadow/probes.py).
    probes: tuple[str, ...] = ()

    # Run generated code even where this machine cannot lock it in.
    allow_weak_sandbox: bool = False

    @field_validator("template")
    @classmethod
    def _has_a_prompt(cls, template: str) -> str:
        if PROMPT not in template:
            raise ValueError(f"must hold {PROMPT}")
        return template

    @field_validator("extract")
    @classmethod
    def _is_a_pattern(cls, extract: str | None) -> str | None:
        try:
            re.compile(extract or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return extract

    @model_validator(mode="after")
    def _names_what_there_is(self) -> "Task":
        _known((self.kind,), tuple(checks.KINDS))
        _known(self.scorers or (), scorers())
        _known(self.checks, checks.names())
        _known(self.probes, tuple(CHANGES))
        if self.data is None and not (self.shipped and self.kind in SHIPPED):
            raise ValueError("needs `data`")
        if isinstance(self.mapping, str):
            _known((self.mapping,), ("plain", *READY))
        else:
            _known(tuple(self.mapping), fields_of(self.kind))
        return self


class Target(Tree, allow_inf_nan=False):
    """What answers: an endpoint (`url`), a local model (`folder`), or recorded `answers`.

    The keys of an endpoint are those of a candidate of the shadow.
    """

    url: str | None = None
    folder: Path | None = None
    answers: Path | None = None
    # The name that an endpoint knows; figures stand under it. Default: that of the target.
    model: str | None = Field(default=None, pattern=r"^[^\x00-\x1f]{1,128}$")
    key: SecretStr | None = None
    key_file: Path | None = None
    private: bool = False
    timeout_s: float = Field(default=60.0, gt=0, le=3600)
    answer_bytes: int = Field(default=1 << 20, ge=1024)
    answer_tokens: int = Field(default=1024, ge=1, le=10**9)
    stream: bool = True
    # As what the model of a folder runs (shadow/loading.py).
    dtype: Precision | None = None
    compile: bool = False
    quantise: Literal["int8"] | None = None
    price: Price = Price()
    # Sent with every question: temperature, seed, max_tokens ...
    parameters: dict[str, Any] = Field(default_factory=dict)
    # How often one question is asked while the endpoint is away, busy or broken.
    attempts: int = Field(default=3, ge=1, le=10)
    # After so many failures in a row the rest is not asked.
    failures: int = Field(default=20, ge=1)
    # Of recorded answers: the column of each field, and the rows that are read.
    columns: dict[str, str] = Field(default_factory=dict)
    where: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_one_of_three(self) -> "Target":
        if sum(one is not None for one in (self.url, self.folder, self.answers)) != 1:
            raise ValueError("needs one of `url`, `folder` and `answers`")
        if self.url is not None and self.model is None:
            raise ValueError("needs `model`, the name that the endpoint knows")
        if self.folder is None and (self.dtype or self.compile or self.quantise):
            raise ValueError("`dtype`, `compile` and `quantise` are of a local model's `folder`")
        if self.answers is None and (self.columns or self.where):
            raise ValueError("`columns` and `where` are of recorded `answers`")
        _known(tuple(self.columns), ANSWER_FIELDS)
        _known(tuple(self.parameters), tuple(sorted(SAMPLING)))
        if self.url is not None:
            self.candidate(1)
        return self

    def candidate(self, concurrency: int) -> Candidate:
        """An endpoint as the client of the shadow takes it; raises ValueError for a bad one."""
        own = {name: getattr(self, name) for name in Candidate.model_fields if name in _OWN}
        most = Budget(calls=1 << 53)
        try:
            return Candidate(**own, concurrency=concurrency, budget=most)
        except ValidationError as error:
            raise ValueError(str(refusal(error, "url"))) from None


_OWN = set(Target.model_fields) - {"folder"}


class Cap(Tree, allow_inf_nan=False):
    """The most that a run may cost; what no longer fits is not asked."""

    usd: float | None = Field(default=None, ge=0)
    calls: int | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)


class Judge(Tree, allow_inf_nan=False):
    """A model that judges the answers by rubrics; its budget is apart from that of the targets."""

    by: Target
    # Shipped ones by their names, or files.
    rubrics: tuple[str, ...] = Field(default=("helpfulness",), min_length=1)
    # Of these tasks only; of all without any.
    tasks: tuple[Name, ...] = ()
    # The share of the items, the same ones of every target.
    share: float = Field(default=1.0, gt=0, le=1)
    # The target that the others are compared with, answer by answer in both orders.
    against: Name | None = None
    # What people said: JSON lines of {"id", "label"} and, where they differ, "rubric" and "target".
    labels: Path | None = None
    # By rubric the metric from which a figure over all items is estimated.
    cheap: dict[str, str] = Field(default_factory=dict)
    # Below this share of the planted items its verdicts do not count.
    bar: float = Field(default=0.9, ge=0, le=1)
    budget: Cap = Cap()

    @model_validator(mode="after")
    def _can_be_asked(self) -> "Judge":
        if self.by.answers is not None:
            raise ValueError("`by` needs `url` or `folder`: recorded answers judge nothing")
        for metric in self.cheap.values():
            try:
                metric_named(metric)
            except KeyError:
                raise ValueError(f"cheap: no metric {metric} in `vedette catalog`") from None
        if self.budget.usd is not None and self.by.url is not None and self.by.price.free:
            raise ValueError("budget.usd needs by.price: nothing is reserved else")
        return self


class Suite(Tree, allow_inf_nan=False):
    """One suite."""

    name: Name
    # Draws the limit, the examples and the changes.
    seed: int = Field(default=0, ge=0)
    tasks: dict[Name, Task] = Field(min_length=1)
    targets: dict[Name, Target] = Field(min_length=1)
    weights: dict[Dimension, float] = Field(default_factory=lambda: dict(WEIGHTS))
    # The means of latency, ttft, tpot (seconds) and cost (USD a call) that score 1.
    goals: dict[str, float] = Field(default_factory=dict)
    # The metrics that alone count in their dimensions; default: docs/report.md.
    count: tuple[str, ...] = ()
    # What a score must be, by its name (suites/gate).
    gate: dict[str, Rule] = Field(default_factory=dict)
    # Questions that one endpoint answers at once.
    concurrency: int = Field(default=8, ge=1, le=256)
    budget: Cap = Cap()
    judge: Judge | None = None
    compliance: Compliance | None = None

    @field_validator("weights")
    @classmethod
    def _weigh_something(cls, weights: dict[Dimension, float]) -> dict[Dimension, float]:
        if min(weights.values(), default=0) < 0 or sum(weights.values()) <= 0:
            raise ValueError("must not be negative, and one must be above 0")
        return weights

    @property
    def weighing(self) -> Weighing:
        """How the overall score is made."""
        return Weighing(weights=self.weights, goals=self.goals, metrics=self.count, seed=self.seed)

    @model_validator(mode="after")
    def _weighs_what_there_is(self) -> "Suite":
        try:
            _ = self.weighing
        except ValidationError as error:
            raise ValueError(str(refusal(error, "weights")).replace("metrics:", "count:")) from None
        for rule in self.gate.values():
            than = rule.not_worse.than if rule.not_worse is not None else None
            _known((*rule.targets, *((than,) if than is not None else ())), tuple(self.targets))
        return self

    @model_validator(mode="after")
    def _judges_what_there_is(self) -> "Suite":
        if self.judge is not None:
            _known(self.judge.tasks, tuple(self.tasks))
            _known((self.judge.against,) if self.judge.against else (), tuple(self.targets))
        return self

    @model_validator(mode="after")
    def _complies_where_there_is_something(self) -> "Suite":
        for rule in self.compliance.answers.values() if self.compliance is not None else ():
            _known(rule.tasks, tuple(self.tasks))
        return self

    @model_validator(mode="after")
    def _has_prices_where_it_has_to(self) -> "Suite":
        for name, one in self.targets.items():
            if self.budget.usd is not None and one.url is not None and one.price.free:
                raise ValueError(f"budget.usd needs targets.{name}.price: nothing is reserved else")
        return self


def load_suite(path: Path) -> Suite:
    """Read a suite file; raises BadConfig with one line that names the key."""
    return suite_of(read_yaml(path))


def suite_of(tree: dict[str, Any]) -> Suite:
    """A suite from its keys; raises BadConfig like `load_suite`."""
    try:
        return Suite(**tree)
    except ValidationError as error:
        raise refusal(error, "suite") from None


def folder_of(path: Path) -> Path:
    """What relative paths of a suite file start from; raises BadConfig where there is no file."""
    if not path.is_file():
        raise BadConfig(str(path), "is no file")
    return path.resolve().parent
