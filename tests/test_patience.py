"""How long a process waits at its start for what is away."""

from types import SimpleNamespace
from typing import NoReturn

import pytest

from agent.errors import StoreDown
from consumers import service
from consumers.exporter import Health
from tests.conftest import Clock


@pytest.mark.parametrize("each_s", [0.0, 6.0, 12.0])
def test_what_is_away_is_waited_for_two_minutes_however_long_each_try_takes(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, each_s: float
) -> None:
    def away() -> NoReturn:
        clock.advance(each_s)
        raise StoreDown("broker: does not answer")

    began, health = clock(), Health()
    faked = SimpleNamespace(monotonic=clock, sleep=clock.advance)
    monkeypatch.setattr(service, "time", faked)
    with pytest.raises(StoreDown):
        service.patiently(health, away)
    assert 120 <= clock() - began <= 120 + each_s + 2
    assert health.state == (False, "broker: does not answer")
