"""What waits for a candidate: an ask that is read again while it waits."""

import asyncio
import time
from functools import partial

import pytest

from agent.store import Store
from shadow import lanes
from shadow.asks import to_bytes
from shadow.dispatcher import Dispatcher
from tests.shadows import Box, Ear, Voice, asks_of, shadow, states


def test_what_waits_already_takes_no_room_and_ends_with_the_first(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dispatcher comes or goes: what waits is read again, and new asks come behind it."""
    monkeypatch.setattr(lanes, "QUEUE_ASKS", 6)
    voice, ear, asks, ended = Voice(), Ear(), asks_of(store, 6), set[tuple[int, int]]()

    async def go() -> None:
        one = Dispatcher(shadow(), {"next": voice}, store, Box(), ear)
        read = [(0, number) for number in range(4)] + [(1, number) for number in range(6)]
        for key in read:
            one.take(to_bytes(asks[key[1]]), time.time(), partial(ended.add, key))
        assert one.waiting() == {"next": 6} and not ended
        one.start()
        await asyncio.wait_for(one.idle(), 20)
        await one.stop(1.0)
        assert ended == set(read)

    asyncio.run(go())
    assert len(voice.asked) == 6 and states(store) == {"sent": 6}
    assert ear.refused == [("next", "no_ticket")] * 4
