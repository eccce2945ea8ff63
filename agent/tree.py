"""What every branch of the configuration is made of, and how its files are read."""

import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from agent.errors import BadConfig

# A name that Kafka takes for a topic, not of dots alone.
TopicName = Annotated[
    str, StringConstraints(pattern=r"^\.*[A-Za-z0-9_-][A-Za-z0-9._-]*$", max_length=249)
]
# What may stand in the name of a metric.
Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]

# What an experiment may be called.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Tree(BaseModel):
    """A frozen branch of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def refusal(error: ValidationError, otherwise: str) -> BadConfig:
    """The first problem of a tree as one line that names its key, or `otherwise` where none is."""
    first = error.errors(include_input=False, include_url=False)[0]
    parts = (str(part) for part in first["loc"] if part != "[key]")
    key = " ".join(".".join(parts).split()) or otherwise
    message = first["msg"].removeprefix("Value error, ").replace("valid tuple", "list")
    message = re.sub(r"valid dictionary.*", "mapping of keys", message)
    return BadConfig(key, "unknown key" if first["type"] == "extra_forbidden" else message)


class _Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error: the first would be lost in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise BadConfig(key.value, f"stands twice at line {key.start_mark.line + 1}")
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of keys; raises BadConfig for what is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(str(path), f"cannot be read ({type(error).__name__})") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """A YAML text of keys; raises BadConfig for what is none."""
    try:
        tree = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise BadConfig(where, f"is not valid YAML{line}") from None
    except RecursionError:
        raise BadConfig(where, "is nested too deep") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise BadConfig(where, "must hold a mapping of keys")
    return {str(key): value for key, value in tree.items()}
