"""The reservoir: the most novel texts of each pane, redacted, where that was asked for."""

import heapq
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from agent.buckets import event_key
from agent.config import Config
from agent.experiments import ASIDE
from agent.flush import Scored, place_of
from agent.intake import Reading, Work
from agent.panes import pane_of
from agent.redact import redact
from agent.store import Transaction, examples

# Enough to see what a text is about.
_CHARS = 1000


def keep_examples(
    tx: Transaction,
    scored: Scored,
    readings: Sequence[Reading],
    accepted: Sequence[int],
    config: Config,
    now: float,
) -> None:
    """Keep the texts of highest novelty of each pane and source partition, so many as asked for."""
    if config.drift is None or config.drift.examples is None:
        return
    most = config.drift.examples.per_pane
    found: dict[examples.Place, list[tuple[float, int]]] = defaultdict(list)
    for at in accepted:
        work = scored.plan.work[at]
        if work.call.variant.startswith(ASIDE):
            continue  # the same texts once more, changed or not: they would crowd out users' own
        pane = pane_of(work.call.at, config.panes.width_s)
        for metric in examples.NOVELTY:
            score = scored.scores[at].get(metric)
            if score is not None and score.value is not None:
                place = examples.Place(*place_of(readings[work.part]), pane, metric)
                found[place].append((score.value, at))
    for place, some in sorted(found.items()):
        rows = [_row(place, scored.plan.work[at], value, now)
                for value, at in heapq.nlargest(most, some)]  # fmt: skip
        examples.keep(tx, place, rows, most)


def _row(place: examples.Place, work: Work, value: float, now: float) -> dict[str, Any]:
    call = work.call
    text = call.prompt if place.metric == "prompt_novelty" else call.response
    return place._asdict() | {
        "key": event_key(place.metric, work.key.hex()),
        "call_key": work.key,
        "id": call.id,
        "service": call.service,
        "model": call.model,
        "variant": call.variant,
        "segment": examples.packed(call.segment),
        "value": value,
        "text": redact(text or "")[:_CHARS],
        "stored_at": now,
    }
