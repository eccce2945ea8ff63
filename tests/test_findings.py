"""How the state of a finding moves from look to look."""

from dataclasses import replace

import pytest

from agent.findings import Finding, State, step

SEEN = Finding("burn rate", (("service", "chat"),), "firing", "critical", 0, 0, "too many errors")


def walk(states: list[State], for_s: float, every_s: int = 10) -> list[State | None]:
    """The states after looks that saw these, one every so many seconds."""
    known, made = None, list[State | None]()
    for at, state in enumerate(states):
        known = step(known, replace(SEEN, state=state, as_of=at * every_s), for_s)
        made.append(None if known is None else known.state)
    return made


def test_a_condition_is_pending_until_it_held_long_enough() -> None:
    assert walk(["firing"] * 4, for_s=20) == ["pending", "pending", "firing", "firing"]
    assert walk(["firing"], for_s=0) == ["firing"]


def test_what_was_only_pending_leaves_no_trace() -> None:
    assert walk(["firing", "resolved", "firing"], for_s=20) == ["pending", None, "pending"]
    assert walk(["firing", "insufficient data"], for_s=20) == ["pending", None]


def test_what_rang_and_ends_is_resolved_and_may_begin_anew_as_another() -> None:
    assert walk(["firing", "resolved", "resolved"], 0) == ["firing", "resolved", None]
    first = step(None, replace(SEEN, as_of=10), 0)
    ended = step(first, replace(SEEN, as_of=20, state="resolved"), 0)
    again = step(ended, replace(SEEN, as_of=30), 0)
    assert first and ended and again
    assert first.key == ended.key != again.key
    assert (ended.began, again.began) == (10, 30)


@pytest.mark.parametrize("why", ["insufficient data", "could not tell"])
def test_what_cannot_be_told_any_longer_is_not_resolved(why: State) -> None:
    assert walk(["firing", why, why, "firing"], 0) == ["firing", why, why, "firing"]
    assert walk(["firing", why, "resolved"], 0) == ["firing", why, "resolved"]
    assert walk([why], 0) == [None]
