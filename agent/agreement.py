"""What the parts of the configuration ask of each other."""

from typing import TYPE_CHECKING

from agent.errors import BadConfig
from agent.sla import targeted

if TYPE_CHECKING:
    from agent.config import Config


def check(config: "Config") -> None:
    """Raise BadConfig where two parts do not go together, with one line that names the key."""
    if targeted(config.slo) and config.panes.minute_hours < 8:
        raise BadConfig("panes.minute_hours", "burn rates of objectives need 8 at least")
    if config.experiments and config.panes.allowed_lateness_s < config.panes.request_timeout_s:
        why = "is shorter than request_timeout_s: experiments would lose slow answers"
        raise BadConfig("panes.lateness_s", why)
    for name, experiment in config.experiments.items():
        for metric in (experiment.primary, *experiment.guardrails):
            if metric.startswith("slo_") and metric.removeprefix("slo_") not in config.slo:
                raise BadConfig(f"experiments.{name}", f"names {metric}, which is not in slo")
    _check_segments(config)


def _check_segments(config: "Config") -> None:
    if config.fairness is not None:
        if not config.segments:
            raise BadConfig("fairness", "compares segments, and `segments` declares none")
        if unknown := config.fairness.undeclared(config.segments, config.slo):
            raise BadConfig("fairness", unknown)
    for key in (config.drift.mix or ()) if config.drift is not None else ():
        if key not in (*config.segments, "model"):
            raise BadConfig("drift.mix", f"names {key}, which `segments` does not declare")
