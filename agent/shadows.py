"""Candidates that are asked what production was asked, and what they may cost."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from agent.record import JUDGE
from agent.tree import Name, TopicName, Tree

# A declared segment and its value.
Stratum = Annotated[str, StringConstraints(pattern=r"^[^=\x00-\x1f]{1,64}=[^\x00-\x1f]{1,128}$")]


class Budget(Tree, allow_inf_nan=False):
    """The most that a candidate may be asked and cost, an hour and in all; None: no bound."""

    # Calls in an hour of the clock (UTC).
    calls_per_hour: int | None = Field(default=None, ge=0)
    # Calls in all.
    calls: int | None = Field(default=None, ge=0)
    # Tokens of prompts and answers in an hour.
    tokens_per_hour: int | None = Field(default=None, ge=0)
    # Tokens in all.
    tokens: int | None = Field(default=None, ge=0)
    # US dollars by `price` in an hour.
    usd_per_hour: float | None = Field(default=None, ge=0)
    # US dollars in all.
    usd: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _bounds_something(self) -> "Budget":
        if all(bound is None for bound in dict(self).values()):
            raise ValueError("must bound something, such as calls_per_hour: 1000")
        return self


class Price(Tree, allow_inf_nan=False):
    """US dollars for a million tokens."""

    # For the prompt.
    input: float = Field(default=0.0, ge=0, le=1e6)
    # For the answer.
    output: float = Field(default=0.0, ge=0, le=1e6)

    @property
    def free(self) -> bool:
        """Whether nothing costs anything, so that nothing is reserved."""
        return not self.input and not self.output


class Breaker(Tree, allow_inf_nan=False):
    """So many failures in a row stop the asking; after a while one call tries again."""

    # So many in a row stop the asking.
    failures: int = Field(default=5, ge=1)
    # How long nothing is asked, until one call tries again.
    open_s: float = Field(default=30.0, gt=0)
    # Each try that fails doubles the wait up to this.
    most_s: float = Field(default=600.0, gt=0)

    @model_validator(mode="after")
    def _waits_longer_and_longer(self) -> "Breaker":
        if self.most_s < self.open_s:
            raise ValueError(f"most_s ({self.most_s:g}) is less than open_s ({self.open_s:g})")
        return self


class Candidate(Tree):
    """A model that is asked: an OpenAI-compatible endpoint, or a folder of a local model."""

    # An OpenAI-compatible endpoint, without `/chat/completions`.
    url: str | None = None
    # A local model, instead of `url`.
    folder: Path | None = None
    # The name that the endpoint knows; its calls stand under it.
    model: Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f]{1,128}$")]
    # What the endpoint is given as bearer token.
    key: SecretStr | None = None
    # A file that holds it.
    key_file: Path | None = None
    # The share of the calls that it is asked.
    rate: float = Field(default=0.01, ge=0, le=1)
    # Only calls of these services; none named: all.
    services: tuple[str, ...] = ()
    # Always asked: their pairs beyond `rate` count in their own segment only.
    always: tuple[Stratum, ...] = ()
    # The most that it is asked an hour for each value of a declared segment.
    most_per_hour: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    # Prompts with personal data are sent only to a trusted one; the others skip them.
    trusted: bool = False
    # Loopback and private addresses are refused unless this is set.
    private: bool = False
    # So many calls at once.
    concurrency: int = Field(default=8, ge=1, le=256)
    # The most that a call may take.
    timeout_s: float = Field(default=60.0, gt=0, le=600)
    # A longer answer is a failure.
    answer_bytes: int = Field(default=1 << 20, ge=1024)
    # Asked for and reserved where the request does not say how much it wants.
    answer_tokens: int = Field(default=1024, ge=1, le=10**9)
    # False: the answer is asked for as a whole, so there is no time to first token.
    stream: bool = True
    # At least one bound is needed.
    budget: Budget
    # US dollars for a million tokens.
    price: Price = Price()
    # When it is not asked for a while.
    breaker: Breaker = Breaker()
    # The share of its answers that are asked again with a changed prompt.
    probes: float = Field(default=0.0, ge=0, le=1)
    # A judge: asked what it says of production's answers by this rubric, shipped or a file.
    rubric: str | None = None

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url is not None:
            if not url.isascii() or not url.isprintable() or " " in url:
                raise ValueError("must be printable ASCII; other hosts are written as xn--...")
            parts = urlsplit(url)
            _ = parts.port  # raises ValueError for what is no port
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("must be an http:// or https:// address")
            if parts.username or parts.password or parts.query or parts.fragment:
                raise ValueError("holds more than a host and a path; the key stands in `key`")
        return url

    @model_validator(mode="after")
    def _is_one_of_two(self) -> "Candidate":
        if (self.url is None) == (self.folder is None):
            raise ValueError("needs either `url` or `folder`")
        return self

    @model_validator(mode="after")
    def _is_asked_in_secret(self) -> "Candidate":
        if self.url is not None and self.url.lower().startswith("http:") and not self.private:
            raise ValueError("an http:// address sends clear text: use https://, or private: true")
        if self.key is not None and self.key_file is not None:
            raise ValueError("takes `key` or `key_file`, not both")
        return self

    @model_validator(mode="after")
    def _judges_a_fair_sample(self) -> "Candidate":
        if self.rubric is not None:
            for key in ("always", "most_per_hour", "probes"):
                if getattr(self, key):
                    raise ValueError(f"a judge with `rubric` takes no {key}: it draws evenly")
        return self

    @model_validator(mode="after")
    def _has_a_price_where_it_has_to(self) -> "Candidate":
        bounded = (self.budget.usd, self.budget.usd_per_hour) != (None, None)
        if bounded and self.price.free:
            raise ValueError("a budget in usd needs `price`: without it nothing is reserved")
        return self


class Shadow(Tree):
    """Who is asked, and through which topics."""

    # By name; the calls of `next` are of the variant `shadow:next`.
    candidates: dict[Name, Candidate] = Field(min_length=1, max_length=20)
    # The scorers write what is to be asked to this topic.
    requests: TopicName = "vedette-shadow-requests"
    # The scorers read answers from this topic.
    answers: TopicName = "vedette-shadow-answers"
    # The consumer group of the dispatchers.
    group: str = "vedette-shadow"
    # A ticket that is not settled by then is given up.
    wait_s: float = Field(default=600.0, gt=0, le=3600)

    @model_validator(mode="after")
    def _has_metrics_for_its_judges(self) -> "Shadow":
        for name, one in self.candidates.items():
            if one.rubric is not None and not JUDGE.fullmatch(name):
                raise ValueError(
                    f"{name} has a rubric, so its name is that of a metric: a-z, 0-9, _"
                )
        return self
