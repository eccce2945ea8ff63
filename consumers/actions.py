"""What people do by hand, by a command or over HTTP: each leaves its row in the audit."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from agent.config import Config
from agent.errors import BadConfig, StoreDown
from agent.store import Store, audit, budgets
from agent.store.audit import Deed, Way
from consumers.deadletter import replay_letters
from consumers.pump.sender import Sender
from consumers.rebaselines import decide
from watch.rebaseline import Decision, Period


@dataclass(frozen=True, slots=True)
class By:
    """Who does something, from where, when, and why where they say so."""

    who: str
    way: Way
    now: float
    why: str = ""


@contextmanager
def audited(store: Store, by: By, action: str, about: str) -> Iterator[list[str]]:
    """What is done inside is in the audit before it begins, and what came of it behind it.

    What is appended to the list is its detail. Nothing is done that cannot be entered.
    """
    with store.transaction() as tx:
        number = audit.begin(tx, Deed(by.now, by.who, by.way, action, about, by.why))
    said: list[str] = []
    try:
        yield said
    except (BadConfig, StoreDown) as error:
        refused = isinstance(error, BadConfig)
        with suppress(StoreDown), store.transaction() as tx:
            audit.end(tx, number, "refused" if refused else "failed", str(error))
        raise
    with store.transaction() as tx:
        audit.end(tx, number, "done", ", ".join(said))


def switch_candidate(store: Store, config: Config, by: By, name: str, on: bool, key: str) -> None:
    """Stop a candidate, or let it go on; raises BadConfig, under `key`, where nobody knows it."""
    here = config.shadow.candidates if config.shadow is not None else {}
    action = "resume candidate" if on else "stop candidate"
    with audited(store, by, action, name) as said, store.transaction() as tx:
        # One that the configuration no longer names may still be asked by who reads an older one.
        known = sorted({*here, *budgets.known(tx)})
        if name not in known:
            raise BadConfig(key, f"unknown candidate {name}; known are {', '.join(known)}")
        if not on:
            budgets.stop(tx, name, by.who, by.why, by.now)
        elif not budgets.resume(tx, name):
            said.append("nobody had stopped it")


def replay(store: Store, config: Config, by: By, reason: str | None) -> dict[str, int]:
    """Put dead letters (of one reason) on their input again; how many, and how many not."""
    with (
        audited(store, by, "replay dead letters", reason or "of every reason") as said,
        closing(Sender(config.kafka)) as sender,
    ):
        done = replay_letters(store, sender, config.kafka.topics, reason, by.now)
        said += [f"{n} {what}" for what, n in done.items()]
    return done


def rebaseline(
    store: Store, config: Config, by: By, wanted: dict[str, str], period: Period | None
) -> dict[str, Any]:
    """Take new baselines over all sources; raises BadConfig where no series is meant."""
    about = ", ".join(f"{part} {value}" for part, value in wanted.items()) or "every series"
    with audited(store, by, "rebaseline", about) as said:
        made = decide(store, config, Decision(wanted, by.who, by.why, period), by.now)
        said += [f"{body['series']} series of {source}" for source, body in made.items()]
    return made
