"""Rules and objectives in the forms that others read, as plain trees for YAML."""

from collections.abc import Sequence
from typing import Any

from agent.config import Config
from agent.errors import BadConfig
from agent.rules.burn import counted
from agent.rules.rule import Alert, Group, Rule
from agent.sla import Objective, targeted

_PRODUCT = {"app.kubernetes.io/name": "vedette"}


def prometheus(groups: Sequence[Group]) -> dict[str, Any]:
    """A rule file of Prometheus."""
    return {
        "groups": [
            {"name": group.name, "rules": [_rule(rule) for rule in group.rules]} for group in groups
        ]
    }


def operator(groups: Sequence[Group]) -> dict[str, Any]:
    """A PrometheusRule of the Prometheus operator."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "vedette", "labels": dict(_PRODUCT)},
        "spec": prometheus(groups),
    }


def sloth(config: Config) -> dict[str, Any]:
    """The objectives as Sloth's prometheus/v1, of the calls of the configured service.

    Raises BadConfig when no objective has a target.
    """
    only = f'service="{_quoted(config.service)}",'
    return {
        "version": "prometheus/v1",
        "service": config.service,
        "labels": {"monitor": "vedette"},
        "slos": [_sloth_slo(name, one, only) for name, one in _targets(config).items()],
    }


def pyrra(config: Config) -> list[dict[str, Any]]:
    """The objectives as ServiceLevelObjectives of Pyrra, by service.

    Raises BadConfig when no objective has a target.
    """
    return [
        {
            "apiVersion": "pyrra.dev/v1alpha1",
            "kind": "ServiceLevelObjective",
            "metadata": {"name": f"vedette-{name.replace('_', '-')}", "labels": dict(_PRODUCT)},
            "spec": {
                "target": f"{100 * (one.target or 0):.10g}",
                "window": f"{one.window_days * 24:.0f}h",
                "description": _described(name, one),
                "indicator": {
                    "ratio": {
                        "errors": {"metric": counted(name, ',label="fail"')},
                        "total": {"metric": counted(name)},
                        "grouping": ["service"],
                    }
                },
            },
        }
        for name, one in _targets(config).items()
    ]


def _rule(rule: Rule) -> dict[str, Any]:
    if not isinstance(rule, Alert):
        labels = {"labels": dict(rule.labels)} if rule.labels else {}
        return {"record": rule.name, "expr": rule.expr, **labels}
    hold = {} if rule.hold == "0s" else {"for": rule.hold}
    return {
        "alert": rule.name,
        "expr": rule.expr,
        **hold,
        "labels": {"severity": rule.severity, **dict(rule.labels)},
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "runbook": rule.runbook,
        },
    }


def _sloth_slo(name: str, objective: Objective, only: str) -> dict[str, Any]:
    errors, total = (
        f"sum(rate({counted(name, more).replace('{', '{' + only)}[{{{{.window}}}}]))"
        for more in (',label="fail"', "")
    )
    return {
        "name": name,
        "objective": float(f"{100 * (objective.target or 0):.10g}"),
        "description": _described(name, objective),
        "sli": {"events": {"error_query": errors, "total_query": total}},
        "alerting": {
            "name": "VedetteErrorBudgetBurn",
            "labels": {"objective": name},
            "annotations": {"summary": f"{{{{ $labels.sloth_service }}}} misses {name}"},
            "page_alert": {"labels": {"severity": "critical"}},
            "ticket_alert": {"labels": {"severity": "warning"}},
        },
    }


def _targets(config: Config) -> dict[str, Objective]:
    found = targeted(config.slo)
    if not found:
        raise BadConfig("slo", "names no objective with a target")
    return found


def _described(name: str, objective: Objective) -> str:
    limit = ("at most", objective.at_most), ("at least", objective.at_least)
    said = "".join(f" {word} {value:g}" for word, value in limit if value is not None)
    return f"{name}: {objective.metric}{said or ' by its threshold'}"


def _quoted(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"")
