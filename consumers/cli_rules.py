"""`vedette rules`: Prometheus rules of a configuration."""

import math
from enum import StrEnum
from typing import Annotated, Any

import typer
import yaml

from agent.config import Config, load_config
from agent.errors import BadConfig
from agent.rules import every_alert, groups
from agent.rules.forms import operator, prometheus, pyrra, sloth
from consumers.cli_terminal import ConfigFile

RuleForm = StrEnum("RuleForm", ["prometheus", "operator", "sloth", "pyrra"])


def rules(
    config: ConfigFile = None,
    form: Annotated[
        RuleForm, typer.Option("--format", help="sloth and pyrra hold the objectives only.")
    ] = RuleForm.prometheus,
    scale: Annotated[
        float,
        typer.Option(min=1, help="Divide every time by this, for a rehearsal; 1 s at least."),
    ] = 1.0,
    markdown: Annotated[bool, typer.Option(help="Every alert, as the reference has it.")] = False,
) -> None:
    """Recording and alerting rules for what the configuration asks for."""
    if not math.isfinite(scale):
        raise BadConfig("--scale", "is no number")
    told = load_config(config)
    text = alert_table() if markdown else rule_text(told, form, scale)
    print(text, end="")  # noqa: T201 - stdout is the machine's


def rule_text(config: Config, form: RuleForm = RuleForm.prometheus, scale: float = 1.0) -> str:
    """The rules as YAML; the same configuration gives the same text."""
    if form == RuleForm.sloth:
        trees: list[Any] = [sloth(config)]
    elif form == RuleForm.pyrra:
        trees = list(pyrra(config))
    else:
        found = groups(config, scale)
        trees = [operator(found) if form == RuleForm.operator else prometheus(found)]
    return yaml.safe_dump_all(trees, sort_keys=False, allow_unicode=True, width=100)


def alert_table() -> str:
    """Every alert that there is as a Markdown table, as the reference shows it."""
    rows = [
        f"| `{alert.name}` | {alert.severity} | {alert.when} |"
        f" {'' if alert.hold == '0m' else alert.hold} | {needs} |"
        for alert, needs in every_alert()
    ]
    head = "| alert | severity | rings when | for | needs |"
    return "\n".join([head, "|" + "---|" * 5, *rows]) + "\n"
