"""The rule of who closes panes: without it nothing is judged, and nothing else rings."""

import re
from collections.abc import Sequence

from agent.rules.rule import Alert, Group

# A live source is closed every few seconds, calls or not; another worker takes over after ten.
_STOOD, _FOR = "15m", "5m"


def closing(backfill: Sequence[str]) -> Group:
    """The rule for all sources but those that are closed by their records alone."""
    # Twice escaped: a regular expression within a string of PromQL.
    names = "|".join(re.escape(name).replace("\\", "\\\\") for name in backfill)
    gauge = f'vedette_closed_through_timestamp_seconds{{source!~"{names}"}}'
    now, before = (f"max by (job, source) ({gauge}{at})" for at in ("", f" offset {_STOOD}"))
    return Group("vedette-closing", (Alert(
        "VedetteNotClosing", "critical",
        "no pane of a live source was closed for 15 minutes, and a worker is ready",
        f"time() - max by (job, source) (last_over_time({gauge}[1d]))"
        f" unless ({now} > {before} or ({now} unless {before}))"
        " and on (job) max by (job) (vedette_ready) == 1", _FOR,
        "No pane of source {{ $labels.source }} is closed",
        "The last one that was closed ended {{ $value | humanizeDuration }} ago.",
        "Calls are scored, but nothing is judged: no drift, no budgets, no experiments."
        " 1. See whether each partition that `vedette topics -c vedette.yaml` counts has a"
        " vedette_consumer_lag_records: one that nobody reads holds its source back. 2. Look for"
        " errors in the workers' log and start them again, one after another: who is left closes"
        " after 10 s. For a source that is no longer read it ends by itself within a day.",
    ),))  # fmt: skip
