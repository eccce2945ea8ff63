"""The worker beside the pages: it begins once there are scorers, asks candidates, and ends."""

import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import pytest
from sqlalchemy import func, select

from agent.config import Config
from agent.errors import BadConfig
from agent.score import Panel
from agent.store import Store
from agent.store.tables import calls
from consumers.exporter import Health
from consumers.inbox import Inbox
from consumers.recorder import instruments
from consumers.server.embedded import Embedded
from tests.road import as_bytes, native
from tests.shadowing import asking
from tests.shadows import Voice
from tests.waiting import wait_until


def begun(
    store: Store, config: Config, panel: Future[Panel], voice: Voice | None = None
) -> tuple[Health, Embedded]:
    tally, health = instruments(config)
    worker = Embedded(config, store, (tally, health), panel, {"new": voice} if voice else None)
    wait_until(lambda: health.state[1] != "starting")
    return health, worker


def test_scorers_that_cannot_be_loaded_end_the_worker_with_their_reason(store: Store) -> None:
    missing: Future[Panel] = Future()
    health, worker = begun(store, Config(), missing)
    assert health.state == (False, "models are being loaded") and not worker.works()
    missing.set_exception(BadConfig("scorers.toxicity", "no such model"))
    wait_until(worker.ended)
    assert health.state == (False, "scorers.toxicity: no such model")
    with pytest.raises(BadConfig, match="no such model"):
        worker.close()


def test_a_stop_does_not_wait_for_models(store: Store) -> None:
    _, worker = begun(store, Config(), Future())
    worker.close()
    assert worker.ended() and not worker.works()


@contextmanager
def working(store: Store, voice: Voice, n: int) -> Iterator[None]:
    """A worker that scores so many calls of this moment, and asks a candidate each of them."""
    panel: Future[Panel] = Future()
    panel.set_result(Panel([]))
    health, worker = begun(store, asking(), panel, voice)
    now = time.time()
    rows = [native(i, at=now, latency_s=0.0) for i in range(n)]
    try:
        Inbox(store).append(as_bytes(rows), "native")
        wait_until(lambda: stored(store, "production") == n)
        wait_until(lambda: health.state == (True, "") and worker.works())
        yield
    finally:
        worker.close()


def test_candidates_are_asked_and_their_answers_scored(store: Store) -> None:
    voice = Voice(latency_s=0.1)
    with working(store, voice, 20):
        wait_until(lambda: stored(store, "shadow:new") == 20)
    assert len(voice.asked) == 20 and voice.closed


def test_a_candidate_that_never_answers_holds_nobody_up(store: Store) -> None:
    with working(store, Voice(pause_s=3600.0), 600):  # more than may wait for it
        assert stored(store, "shadow:new") == 0


def stored(store: Store, variant: str) -> int:
    query = select(func.count()).select_from(calls).where(calls.c.variant == variant)
    with store.reading() as tx:
        return tx.scalar(query) or 0
