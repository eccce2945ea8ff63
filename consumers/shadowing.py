"""The process behind `vedette shadow`: the Faust app, the dispatcher, what both show and watch."""

import asyncio
import importlib.util
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from importlib.metadata import version
from pathlib import Path

from agent.config import Config
from agent.errors import BadConfig, StoreDown
from agent.record import Answer
from agent.shadows import Candidate, Shadow
from agent.store import Store, Transaction, budgets
from consumers.exporter import Health, serve
from consumers.inbox import Inbox
from consumers.metrics import Tally
from consumers.pump.connection import settings
from consumers.pump.sender import Sender
from consumers.pump.unread import Unread
from consumers.service import Cast, patiently, stopping, watched, worker_name
from consumers.stores import open_writer
from shadow.candidates import Model
from shadow.client import Endpoint
from shadow.dispatcher import Dispatcher, Sink
from shadow.drive import Drive
from shadow.reading import Reading
from suites.judge.online import OnlineJudge
from suites.judge.rubric import load_rubric

_log = logging.getLogger("vedette.shadow")

# A partition that stands still so long, or a broker that does not answer, ends the process, or
# after limits.stall_s where that is shorter; the watchdog looks every quarter of it and must see
# it twice: 32 + 2 x 8 s are less than a minute.
STALL_S = 32.0
_LOOKS = 6  # in that time: one that takes long is no stall
_PATIENCE_S = 15.0  # for calls that run when the process is to end
_OPEN = {"closed": 0.0, "half_open": 0.5, "open": 1.0}


def shadow_of(config: Config) -> Shadow:
    """The candidates; raises BadConfig where none are configured."""
    if config.shadow is None:
        raise BadConfig("shadow", "is not configured; it names the candidates that are asked")
    return config.shadow


def open_models(shadow: Shadow) -> dict[str, Model]:
    """What each candidate is; raises BadConfig for one that cannot be asked."""
    made: dict[str, Model] = {}
    for name, one in shadow.candidates.items():
        where = f"shadow.candidates.{name}"
        made[name] = Endpoint(where, one) if one.url is not None else _local(where, one)
        if one.rubric is not None:
            made[name] = OnlineJudge(load_rubric(one.rubric, Path()), made[name])
    return made


def _local(where: str, one: Candidate) -> Model:
    from shadow.gathering import Gathered  # torch, which an endpoint does not need
    from shadow.local import LocalModel

    assert one.folder is not None
    return Gathered(LocalModel(f"{where}.folder", one.folder, one.answer_tokens, one.timeout_s))


def to_topic(sender: Sender, topic: str) -> Sink:
    """Answers as records of a topic, each acknowledged before its ticket is settled."""

    def put(key: bytes, record: bytes) -> None:
        sender.deliver(topic, [(key, record)], arrival=time.time())

    return put


def to_inbox(inbox: Inbox, read_to: Callable[[], float]) -> Sink:
    """Answers as records of the inbox, where there is no broker."""
    return lambda _, record: inbox.append([(read_to(), record)], "native")


def embedded(shadow: Shadow, store: Store, models: Mapping[str, Model]) -> Cast:
    """The dispatcher in a thread of this process: asks are given to it, answers come to the inbox.

    Its answers carry the time that the records have come to, which in a log is long ago.
    """

    def cast(inbox: Inbox, tally: Tally, read_to: Callable[[], float]) -> Drive:
        told, sink = Told(tally, shadow), to_inbox(inbox, read_to)

        def ended() -> None:
            with suppress(StoreDown), store.transaction() as tx:
                told.leave(tx, time.time())

        return Drive(lambda: Dispatcher(shadow, models, store, sink, told, stamp=read_to), ended)

    return cast


class Told:
    """Counts what the dispatcher does."""

    def __init__(self, tally: Tally, shadow: Shadow) -> None:
        self._tally, self._shadow = tally, shadow
        self.changed: dict[str, str] = {}
        for name in shadow.candidates:
            self.breaker(name, "closed")
            for status in ("ok", "error", "timeout"):
                tally.count("vedette_shadow_calls_total", (name, status), 0)

    def asked(self, candidate: str, answer: Answer) -> None:
        """A candidate was asked."""
        self._tally.count("vedette_shadow_calls_total", (candidate, answer.status))
        if answer.status != "ok":
            reason = (answer.error or "unknown").partition(":")[0]  # a folder says more behind it
            self._tally.count("vedette_shadow_failures_total", (candidate, reason))

    def unasked(self, candidate: str, why: str) -> None:
        """It was not asked."""
        self._tally.count("vedette_shadow_unasked_total", (candidate, why))

    def undelivered(self, candidate: str) -> None:
        """An answer is lost."""
        self._tally.count("vedette_shadow_undelivered_total", (candidate,))

    def breaker(self, candidate: str, state: str) -> None:
        """A breaker is in another state."""
        self.changed[candidate] = state
        self._tally.show("vedette_shadow_breaker_open_ratio", (candidate,), _OPEN[state])
        if state != "closed":
            _log.warning("the breaker of %s is %s", candidate, state.replace("_", " "))

    def leave(self, tx: Transaction, now: float) -> dict[str, str]:
        """Leave word of the breakers that changed, for who looks from outside; which those are."""
        changed = dict(self.changed)
        budgets.put_breakers(tx, worker_name(), changed, now)
        return changed

    def waiting(self, asks: Mapping[str, int]) -> None:
        """How many asks wait."""
        for name, n in asks.items():
            self._tally.show("vedette_shadow_waiting_asks", (name,), n)

    def left(self, candidate: str, left: Mapping[str, float]) -> None:
        """What is left of a budget."""
        budget = dict(self._shadow.candidates[candidate].budget)
        for bound, rest in left.items():
            share = rest / budget[bound] if budget[bound] else 0.0
            self._tally.show("vedette_shadow_budget_left_ratio", (candidate, bound), share)


class Look:
    """Looks every few seconds whether the road is alive: the loop, the broker, the group."""

    def __init__(
        self, shadow: Shadow, store: Store, unread: Unread, told: Told, health: Health,
        reading: Reading,
    ) -> None:  # fmt: skip
        self._shadow, self._store, self._unread = shadow, store, unread
        self._told, self._health, self._reading = told, health, reading
        self._before: dict[int, int] = {}
        self._thread = ThreadPoolExecutor(1, "shadow-look")

    async def go(self, dispatcher: Dispatcher, every_s: float) -> None:
        """Look for ever; each round passes through the loop, so a loop that hangs is seen too."""
        loop = asyncio.get_running_loop()
        while True:
            self._told.waiting(dispatcher.waiting())
            await loop.run_in_executor(self._thread, self.once)
            await asyncio.sleep(every_s)

    def once(self) -> None:
        """One look: progress where no partition with unread asks stands still."""
        trouble = ""
        for look in (self._at_the_broker, self._at_the_store):
            try:
                look()
            except StoreDown as error:
                trouble = trouble or str(error)
        if trouble and self._health.state[0]:
            _log.warning("waiting: %s", trouble)
        self._health.ready(not trouble, trouble)

    def _at_the_broker(self) -> None:
        # What waits here for a slow candidate is not committed, but it was read.
        rows, reached = self._unread.look(), self._reading.reached()
        read = {p: max(at, reached.get(p, 0)) for p, (at, _) in rows.items()}
        still = {p for p, at in read.items() if at < rows[p][1] and self._before.get(p) == at}
        self._before = read
        # What others hold is theirs to watch; who holds nothing asks whether all is held.
        if not (still & set(reached) if reached else still and not self._unread.settled()):
            self._health.progress()

    def _at_the_store(self) -> None:
        now = time.time()
        with self._store.transaction() as tx:
            for name, one in self._shadow.candidates.items():
                self._told.left(name, budgets.left(tx, name, one.budget, now))
            changed = self._told.leave(tx, now)
        for name, state in changed.items():
            if self._told.changed.get(name) == state:
                del self._told.changed[name]


def run_shadow(config: Config) -> None:
    """Ask until SIGTERM; raises BadConfig and StoreDown when it cannot start."""
    if importlib.util.find_spec("faust") is None:
        raise BadConfig("vedette shadow", "needs faust: install vedette[shadow]")
    shadow, kafka = shadow_of(config), config.kafka
    tally = Tally(label_values_max=config.exporter.label_values_max, version=version("vedette"))
    stall_s = min(config.limits.stall_s, STALL_S)
    health = Health(stall_s)
    told = Told(tally, shadow)
    topics = {"shadow.requests": shadow.requests, "shadow.answers": shadow.answers}
    models = open_models(shadow)
    with ExitStack() as held:
        endpoint = serve(tally, health, config.exporter.host, config.exporter.port)
        server = held.enter_context(closing(endpoint))
        store = held.enter_context(closing(patiently(health, lambda: open_writer(config))))
        unread = held.enter_context(closing(Unread(kafka, shadow.group, shadow.requests, topics)))
        sender = held.enter_context(closing(Sender(kafka)))
        sender.open()
        reading = Reading()
        look = Look(shadow, store, unread, told, health, reading)
        sink = to_topic(sender, shadow.answers)
        _log.info("asking %s, metrics on port %d", sorted(models), server.port)
        health.progress()  # what was imported and opened until now does not count
        with watched(lambda: not health.alive(True), stall_s):
            dispatcher = Dispatcher(shadow, models, store, sink, told)
            asyncio.run(_asking(config, dispatcher, look, reading))


async def _asking(config: Config, dispatcher: Dispatcher, look: Look, reading: Reading) -> None:
    from shadow.app import make_app, run_app

    over, loop = asyncio.Event(), asyncio.get_running_loop()

    def stop() -> None:
        loop.call_soon_threadsafe(over.set)

    with stopping(stop):
        dispatcher.start()
        every_s = min(config.limits.stall_s, STALL_S) / _LOOKS
        looking = asyncio.create_task(look.go(dispatcher, every_s))
        looking.add_done_callback(lambda _: over.set())
        try:
            door, session_s = settings(config.kafka), config.kafka.session_timeout_s
            app = make_app(shadow_of(config), door, dispatcher, reading, session_s)
            await run_app(app, over)
        finally:
            looking.cancel()
            await dispatcher.stop(_PATIENCE_S)
    if not looking.cancelled() and (error := looking.exception()):
        raise error
