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
    if config.panes.hour_days * 24 < config.panes.minute_hours:
        raise BadConfig("panes.hour_days", "is shorter than panes.minute_hours")
    for name, objective in targeted(config.slo).items():
        if config.panes.hour_days < objective.window_days:
            raise BadConfig("panes.hour_days", f"is shorter than window_days of slo.{name}")
    if config.experiments and config.panes.allowed_lateness_s < config.panes.request_timeout_s:
        why = "is shorter than request_timeout_s: experiments would lose slow answers"
        raise BadConfig("panes.lateness_s", why)
    for name, experiment in config.experiments.items():
        for metric in (experiment.primary, *experiment.guardrails):
            if metric.startswith("slo_") and metric.removeprefix("slo_") not in config.slo:
                raise BadConfig(f"experiments.{name}", f"names {metric}, which is not in slo")
    if config.bfloat16 and config.int8 is not None:
        raise BadConfig("bfloat16", "and int8 are two ways to run the same models: set one")
    _check_segments(config)
    _check_shadow(config)


def _check_segments(config: "Config") -> None:
    if config.fairness is not None:
        if not config.segments:
            raise BadConfig("fairness", "compares segments, and `segments` declares none")
        if unknown := config.fairness.undeclared(config.segments, config.slo):
            raise BadConfig("fairness", unknown)
    for key in (config.drift.mix or ()) if config.drift is not None else ():
        if key not in (*config.segments, "model"):
            raise BadConfig("drift.mix", f"names {key}, which `segments` does not declare")


def _check_shadow(config: "Config") -> None:
    shadow, kafka = config.shadow, config.kafka
    if shadow is None:
        return
    if shadow.requests in (*kafka.topics, shadow.answers):
        raise BadConfig("shadow.requests", f"is {shadow.requests}, which is an input")
    for name in (kafka.dead_letters, kafka.scored, config.alerts.topic):
        if name in (shadow.requests, shadow.answers):
            raise BadConfig("shadow", f"writes to {name}, which is for something else")
    for name, candidate in shadow.candidates.items():
        key = f"shadow.candidates.{name}"
        for segment in (*(one.partition("=")[0] for one in candidate.always),
                        *candidate.most_per_hour):  # fmt: skip
            if segment not in config.segments:
                raise BadConfig(key, f"names {segment}, which `segments` does not declare")
        if shadow.wait_s <= candidate.timeout_s:
            why = f"is not longer than timeout_s of {name}: its slow answers would count as failed"
            raise BadConfig("shadow.wait_s", why)
        if candidate.rubric is not None:
            continue  # its verdicts are no calls
        if config.intake.models and candidate.model not in config.intake.models:
            why = f"lacks {candidate.model} of {key}: its answers would count as failed"
            raise BadConfig("intake.models", why)
        if name in config.intake.silent_models:
            raise BadConfig(key, "is a silent model of LiteLLM too: both would be one variant")
