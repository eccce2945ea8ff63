"""The key `compliance` of a suite: what is allowed, and what must be there."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from agent.tree import Name, Tree, Word

Kind = Literal["string", "number", "integer", "boolean", "array", "object", "null", "any"]
# The headings that a model card is looked through for.
SECTIONS = ("intended use", "training data", "evaluation", "limitations", "licence")


class Rule(Tree, allow_inf_nan=False):
    """What an answer has to be like; every key that is set must hold."""

    # Of these tasks only; of all without any.
    tasks: tuple[Name, ...] = ()
    # Regular expressions that must, or must not, be found.
    match: str | None = None
    never: str | None = None
    chars: int | None = Field(default=None, ge=0)
    # Phrases that must stand in it, whatever their case.
    phrases: tuple[str, ...] = ()
    # The keys that it must have as a JSON object, and the type of each.
    fields: dict[str, Kind] | None = None
    # The share of the answers that must keep the rule.
    share: float = Field(default=1.0, ge=0, le=1)

    @field_validator("match", "never")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return pattern

    @model_validator(mode="after")
    def _asks_for_something(self) -> "Rule":
        asked = (self.match, self.never, self.chars, self.fields)
        if all(one is None for one in asked) and not self.phrases:
            raise ValueError("asks for nothing; it wants match, never, chars, phrases or fields")
        return self


class Compliance(Tree):
    """What is checked beside privacy, which always is."""

    # Licences that a model may have, by their SPDX names.
    licences: tuple[str, ...] = ()
    answers: dict[Word, Rule] = Field(default_factory=dict)
    # The sections that a model's card must have, each found by its words in a heading.
    card: tuple[str, ...] = SECTIONS
