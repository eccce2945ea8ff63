"""The committed dashboards: drawn from their boards, asking only for what is exposed."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from agent.catalog import BY_NAME
from agent.durations import span
from agent.exposed import SERIES
from agent.sla import CONDITIONS
from deploy.boards import BOARDS
from deploy.draw import FOLDER, text_of
from tests.rules import said, tool

# What Grafana puts in the place of its own names.
_FILLED = {"$__rate_interval": "5m", "$job": ".*", "$service": ".*", "$model": ".*",
           "$variant": ".*", "$experiment": ".*"}  # fmt: skip
_SUFFIXES = ("_bucket", "_sum", "_count")


def _expressions() -> list[str]:
    return [query.expr for board in BOARDS for _, row in board.rows
            for panel in row for query in panel.queries]  # fmt: skip


def test_the_files_are_what_the_boards_draw() -> None:
    drawn = {f"{board.name}.json": text_of(board) for board in BOARDS}
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert there == drawn, "run `python -m deploy.draw`"


def test_every_series_and_label_is_exposed() -> None:
    known = {row.name: set(row.labels) | {"job", "instance", "le"} for row in SERIES}
    known |= {f"{row.name}{end}": known[row.name] for row in SERIES if row.kind == "histogram"
              for end in _SUFFIXES}  # fmt: skip
    for expr in _expressions():
        for name, where in re.findall(r"\b(vedette_\w+)(?:\{([^}]*)\})?", expr):
            assert name in known, expr
            labels = set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', where))
            assert labels <= known[name], f"{name} has no label {labels - known[name]}"
        for by in re.findall(r"by \(([^)]*)\)", expr):
            asked = {label.strip() for label in by.split(",")}
            mine = set().union(*(known[name] for name in re.findall(r"vedette_\w+", expr)))
            assert asked <= mine, expr


def test_every_metric_is_in_the_catalogue() -> None:
    named = {name for expr in _expressions() for name in re.findall(r'metric="(\w+)"', expr)}
    assert len(named) > 8 and named <= set(BY_NAME)


def test_every_query_parses(tmp_path: Path) -> None:
    rules: list[dict[str, Any]] = []
    for at, expr in enumerate(_expressions()):
        for name, value in _FILLED.items():
            expr = expr.replace(name, value)
        rules.append({"record": f"board:query:n{at}", "expr": expr})
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "boards", "rules": rules}]}))
    assert f"{len(rules)} rules found" in said(tool("promtool"), "check", "rules", str(file))


def test_panels_lie_beside_each_other_and_ids_are_their_own() -> None:
    for path in FOLDER.glob("*.json"):
        panels = json.loads(path.read_text(encoding="utf-8"))["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        cells = [(x, y) for p in panels for g in [p["gridPos"]]
                 for x in range(g["x"], g["x"] + g["w"])
                 for y in range(g["y"], g["y"] + g["h"])]  # fmt: skip
        assert len(set(cells)) == len(cells), path.name
        assert all(x < 24 for x, _ in cells)


def test_the_pace_that_rings_is_that_of_the_condition_and_said_with_its_budget() -> None:
    (sla,) = (board for board in BOARDS if board.name == "sla")
    said = {panel.title: panel.help for panel in dict(sla.rows)["Burn rates"]}
    for one, pace in zip(CONDITIONS, ("14.4", "6", "3", "1"), strict=True):
        told = said.pop(f"Burn rate over {span(one.long_s)}")
        assert told == f"With a budget of 30 days it rings at {pace} times the target's pace."
    assert not said
