"""`python -m deploy.draw` writes the Grafana dashboards; the same boards give the same text."""

import json
from pathlib import Path
from typing import Any

from deploy.boards import BOARDS
from deploy.panels import Board, Kind, Panel

FOLDER = Path(__file__).parent / "dashboards"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_TYPES: dict[Kind, str] = {
    "line": "timeseries", "number": "stat", "bars": "bargauge", "table": "table",
}  # fmt: skip
# Of Grafana's grid: 24 columns, a row of 30 px each.
_COLUMNS, _HEIGHT, _LOW = 24, 8, 4
# Where each label can be read off.
_OF = {
    "job": "vedette_build_info",
    "experiment": "vedette_experiment_events",
    "service": "vedette_requests_total",
    "model": "vedette_requests_total",
    "variant": "vedette_requests_total",
}


def draw(board: Board) -> dict[str, Any]:
    """The dashboard as Grafana 10 and later imports it."""
    return {
        "uid": f"vedette-{board.name}",
        "title": board.title,
        "description": board.help,
        "tags": ["vedette"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,  # one crosshair for all panels
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "links": [{
            "type": "dashboards", "tags": ["vedette"], "title": "Vedette", "asDropdown": True,
            "keepTime": True, "includeVars": True,
        }],
        "templating": {"list": [_source(), *map(_variable, board.variables)]},
        "panels": _laid_out(board),
    }  # fmt: skip


def _laid_out(board: Board) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    down = 0
    for heading, panels in board.rows:
        place = {"x": 0, "y": down, "w": _COLUMNS, "h": 1}
        made.append({"id": len(made) + 1, "type": "row", "title": heading, "collapsed": False,
                     "gridPos": place, "panels": []})  # fmt: skip
        down, across, tall = down + 1, 0, 0
        for panel in panels:
            height = _LOW if panel.kind == "number" else _HEIGHT
            if across + panel.width > _COLUMNS:
                down, across, tall = down + tall, 0, 0
            place = {"x": across, "y": down, "w": panel.width, "h": height}
            made.append({"id": len(made) + 1, "gridPos": place, **_panel(panel)})
            across, tall = across + panel.width, max(tall, height)
        down += tall
    return made


def _panel(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "noValue": "none"}
    if panel.most is not None:
        defaults |= {"min": 0, "max": panel.most}
    return {
        "type": _TYPES[panel.kind],
        "title": panel.title,
        "description": panel.help,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel.kind),
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": _SOURCE, "expr": query.expr,
             "legendFormat": query.legend, "instant": panel.kind != "line",
             "range": panel.kind == "line"}
            for at, query in enumerate(panel.queries)
        ],
    }  # fmt: skip


def _options(kind: Kind) -> dict[str, Any]:
    if kind == "line":
        return {"legend": {"displayMode": "list", "placement": "bottom"},
                "tooltip": {"mode": "multi", "sort": "desc"}}  # fmt: skip
    newest = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    return {} if kind == "table" else {"reduceOptions": newest}


def _source() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
    }


def _variable(label: str) -> dict[str, Any]:
    query = f"label_values({_OF[label]}, {label})"
    return {
        "name": label, "label": label, "type": "query", "datasource": _SOURCE, "query": query,
        "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip


def text_of(board: Board) -> str:
    """The file's content."""
    return json.dumps(draw(board), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every board."""
    FOLDER.mkdir(exist_ok=True)
    for board in BOARDS:
        (FOLDER / f"{board.name}.json").write_text(text_of(board), encoding="utf-8")


if __name__ == "__main__":
    main()
