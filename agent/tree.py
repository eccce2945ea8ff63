"""What every branch of the configuration is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

# What Kafka takes as the name of a topic.
TopicName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
# What may stand in the name of a metric.
Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]

# What an experiment may be called.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Tree(BaseModel):
    """A frozen branch of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")
