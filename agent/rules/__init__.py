"""Prometheus rules as data: what of a configuration can be recorded and what rings."""

from collections.abc import Sequence

from agent.config import Config
from agent.experiments import Arm, Experiment
from agent.rules.answers import DRIFT, TOXICITY
from agent.rules.burn import burn
from agent.rules.closing import closing
from agent.rules.pipeline import PIPELINE
from agent.rules.rule import Alert, Group, scaled
from agent.rules.shadows import SHADOWS
from agent.rules.trials import trials
from agent.score import enabled
from agent.sla import Objective


def groups(config: Config, scale: float = 1.0) -> list[Group]:
    """The rules whose source is configured, their times divided by `scale`."""
    toxic = [TOXICITY] if enabled(config, "toxicity") else []
    drift = [DRIFT] if config.drift is not None else []
    asked = [SHADOWS] if config.shadow is not None else []
    always = [PIPELINE, closing(config.backfill)]
    found = [*always, *toxic, burn(config.slo), *drift, trials(config.experiments), *asked]
    return [scaled(group, scale) for group in found if group.rules]


def alerts(found: Sequence[Group]) -> list[Alert]:
    """The alerting rules, in order."""
    return [rule for group in found for rule in group.rules if isinstance(rule, Alert)]


def every_alert() -> list[tuple[Alert, str]]:
    """Every alert that there is, and what must be configured for it."""
    objective = {"NAME": Objective(metric="error", target=0.99)}
    arms = {"a": Arm(share=0.5), "b": Arm(share=0.5)}
    experiment = {"NAME": Experiment(arms=arms, primary="error", start=0.0)}
    parts = (
        (PIPELINE, ""),
        (closing(("backfill",)), ""),
        (TOXICITY, "the scorer `toxicity`"),
        (burn(objective), "an objective with a target"),
        (DRIFT, "`drift`"),
        (trials(experiment), "an experiment"),
        (SHADOWS, "`shadow`"),
    )
    return [(alert, needs) for group, needs in parts for alert in alerts([group])]
