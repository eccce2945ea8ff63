"""The process behind `vedette simulate`: a simulated service's records, as they come."""

import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import get_args

from agent.config import Config
from agent.errors import BadConfig, StoreDown
from consumers.coming import Arrived, Coming
from consumers.pump.sender import Sender, first_topic, key_of
from consumers.service import stopping
from consumers.simulate import MODELS, Change, Fault
from consumers.understudy_http import Stage

_log = logging.getLogger("vedette.simulate")
_TICK_S = 0.25
_FAULT = re.compile(r"([a-z]+)(?::([\w.-]+))?@(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?")
_ADDRESS = re.compile(r"(.+):(\d{1,5})")
Take = Callable[[Arrived], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is simulated: how much, what goes wrong, where it goes and who answers besides."""

    rate: float
    faults: Sequence[str] = ()
    topic: str | None = None
    stdout: bool = False
    answer: str | None = None


def changes_of(faults: Sequence[str], start: float) -> list[Change]:
    """What KIND[:MODEL]@FROM[-TO], in seconds after `start` (epoch seconds), does to which model.

    Without a model it happens to all. Raises BadConfig for anything else.
    """
    known, made = [model.name for model in MODELS], list[Change]()
    for text in faults:
        found = _FAULT.fullmatch(text)
        if found is None:
            raise BadConfig("--fault", f"{text} is not KIND[:MODEL]@FROM[-TO], in seconds")
        kind = next((one for one in get_args(Fault) if one == found[1]), None)
        if kind is None or found[2] not in (None, *known):
            raise BadConfig(
                "--fault", f"{text}: a kind is one of {', '.join(get_args(Fault))}, a model one of"
                f" {', '.join(known)}",
            )  # fmt: skip
        began, ended = float(found[3]), float(found[4]) if found[4] else float("inf")
        if ended <= began:
            raise BadConfig("--fault", f"{text} ends before it begins")
        made += [
            Change(kind, name, start + began, start + ended)
            for name in known
            if found[2] in (None, name)
        ]
    return made


def run_simulation(config: Config, wish: Wish) -> int:
    """Give records until SIGTERM; how many. Raises BadConfig and StoreDown when it cannot start."""
    start, over = time.time(), threading.Event()
    changes = changes_of(wish.faults, start)
    with ExitStack() as held:
        stage = held.enter_context(closing(_stage(wish.answer))) if wish.answer else None
        learn = stage.learn if stage is not None else lambda _: None
        take = to_stdout if wish.stdout else _to_topic(config, wish.topic, held)
        held.enter_context(stopping(over.set))
        return _give(Coming(changes, learn, wish.rate), take, over)


def _give(coming: Coming, take: Take, over: threading.Event) -> int:
    given, away = 0, ""
    while not over.wait(_TICK_S):
        due = coming.due()
        try:
            take(due)
            given, away = given + len(due), ""
        except StoreDown as error:
            coming.put_back(due)
            if not away:
                _log.warning("the simulation waits: %s", error)
            away = str(error)
        except BrokenPipeError:
            break  # whoever read it has read enough
    return given


def to_stdout(records: Arrived) -> None:
    """One line a record; raises BrokenPipeError when nobody reads them any more."""
    for _, value in records:
        sys.stdout.buffer.write(value + b"\n")
    sys.stdout.buffer.flush()


def _to_topic(config: Config, topic: str | None, held: ExitStack) -> Take:
    chosen = topic or first_topic(config.kafka)
    sender = held.enter_context(closing(Sender(config.kafka)))
    sender.open()
    if not sender.reach(chosen):
        raise StoreDown(f"broker: has no topic {chosen}; `vedette topics --create` makes it")

    def take(records: Arrived) -> None:
        # What is put back after a failure may be there twice: as with any producer, ids tell.
        for arrival, value in records:
            sender.send(chosen, value, key=key_of(value), arrival=arrival)
        if failed := sender.flush():
            raise StoreDown(f"broker: {len(failed)} records were not taken ({failed[0]})")

    return take


def _stage(address: str) -> Stage:
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found[2]) > 65_535:
        raise BadConfig("--answer", f"{address} is not HOST:PORT")
    return Stage(found[1], int(found[2]))
