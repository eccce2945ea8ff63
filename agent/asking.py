"""Which calls each candidate is asked, told from the prompt alone and never from the answer.

A call is drawn by a hash of the candidate and its id, so a lower rate asks a part of the same
calls. One that is drawn and cannot be asked again is counted by reason: what was asked and what
was skipped are what was drawn.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agent.buckets import event_key
from agent.config import Config, Panes
from agent.panes import HOUR_S, is_left_out
from agent.record import Ask, Call
from agent.redact import contains
from agent.shadows import Candidate, Shadow
from agent.store import Transaction, experiments, tickets
from agent.store.tickets import Quota, ticket_key

REASONS = (
    "shadow", "dataset", "redacted", "truncated", "parts", "tools", "parameters", "no_prompt",
    "personal_data", "late", "capped", "repeated_unit", "no_response",
)  # fmt: skip
# What stands in a judge's ticket where one of a changed prompt says how it was changed.
JUDGE = "judge"
# What a format noted while it read the request.
_FLAGS = {
    "prompt_redacted": "redacted",
    "prompt_truncated": "truncated",
    "parts_dropped": "parts",
    "tools_dropped": "tools",
    "parameters_dropped": "parameters",
}
_TOOLS = {"tools", "functions"}
# Who may have said what stands in a prompt; a tool's result needs the call that it answers.
_ROLES = {"system", "developer", "user", "assistant"}
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Stored:
    """A call that this flush stores: its key, its source, how far that is closed, its arrival."""

    call: Call
    key: bytes
    source: str
    closed: float
    arrival: float


@dataclass(frozen=True, slots=True)
class Asked:
    """What a flush owes, and by (candidate, reason) what it does not."""

    asks: list[Ask] = field(default_factory=list)
    skipped: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Drawn:
    candidate: str
    stored: Stored
    # The rows that its pair would count in: "" and segments, each with the key of its unit in it.
    rows: dict[str, bytes | None]
    quotas: dict[Quota, int]

    @property
    def order(self) -> tuple[float, str, str]:
        """Requests in the order in which they began."""
        return self.stored.call.at, self.stored.call.id, self.candidate


def share_for(candidate: str, call_id: str) -> float:
    """A uniform number in [0, 1): a candidate is asked a call whose number is below its rate."""
    return int.from_bytes(event_key("ask", candidate, call_id)[:8], "little") / 2.0**64


def owe_asks(tx: Transaction, config: Config, found: Sequence[Stored], now: float) -> Asked:
    """Owe candidates what this flush's calls draw; the asks may be sent once it is committed."""
    done, shadow = Asked(), config.shadow
    if shadow is None:
        return done
    drawn = sorted(
        (
            one
            for name, candidate in shadow.candidates.items()
            for one in _drawn(name, candidate, config, found, done.skipped)
        ),
        key=lambda one: one.order,
    )
    chosen = _within_bounds(tx, drawn, done.skipped, now)
    rows = [_ticket(one, counted, shadow, now) for one, counted in chosen]
    new = tickets.owe(tx, rows)
    for (one, _), row in zip(chosen, rows, strict=True):
        if row["key"] in new:
            new.remove(row["key"])  # calls of two variants may have one id: the first is asked
            judge = bool(row["probe"])
            done.asks.append(Ask(row["key"], one.candidate, one.stored.call, judge))
    return done


def _drawn(
    name: str,
    candidate: Candidate,
    config: Config,
    found: Iterable[Stored],
    skipped: Counter[tuple[str, str]],
) -> Iterator[_Drawn]:
    for stored in found:
        call = stored.call
        if candidate.services and call.service not in candidate.services:
            continue
        common = share_for(name, call.id) < candidate.rate
        held = {k: f"{k}={v}" for k, v in call.segment if k in config.segments}
        always = [one for one in held.values() if one in candidate.always]
        if not common and not always:
            continue
        judge = candidate.rubric is not None
        why = why_not(call, candidate.trusted, judge) or _late(stored, config.panes)
        if why is not None:
            skipped[name, why] += 1
            continue
        # Of a stratum that is always asked every call counts in its row, of the others the rate's.
        rest = ["", *(one for one in held.values() if one not in always)] if common else []
        hour = int(call.at // HOUR_S) * HOUR_S
        most = {(name, held[k], hour): n for k, n in candidate.most_per_hour.items() if k in held}
        # A judge makes no pairs: its calls need not be of different units.
        rows = _unit_keys(name, replace(call, unit=None) if judge else call, rest, always)
        yield _Drawn(name, stored, rows, most)


def _unit_keys(
    name: str, call: Call, rest: Sequence[str], always: Sequence[str]
) -> dict[str, bytes | None]:
    """The rows and, where the call has a unit, what enters once a day: a unit in the rows of the
    rate and in each stratum's own, so that neither sample takes from the other."""
    if call.unit is None:
        return dict.fromkeys([*rest, *always])
    day = str(int(call.at // _DAY_S))
    parts = "asked", call.service, name, call.unit, day
    return {row: event_key(*parts, row if row in always else "") for row in [*rest, *always]}


def _late(stored: Stored, panes: Panes) -> str | None:
    """Whether the pair would be of no pane."""
    width_s, lateness_s = panes.width_s, panes.allowed_lateness_s
    over = is_left_out(stored.call.at, stored.arrival, stored.closed, width_s, lateness_s)
    return "late" if over else None


def why_not(call: Call, trusted: bool, judge: bool = False) -> str | None:
    """Why a candidate cannot be asked what this call asked, or a judge about it; None if it can."""
    if judge and (call.status != "ok" or call.response is None):
        return "no_response"
    if call.origin != "production":
        return call.origin
    for flag, why in _FLAGS.items():
        if flag in call.flags:
            return why
    # A candidate is given no tools, and without them it is another question.
    given = any(value for name, value in call.parameters if name in _TOOLS)
    if given or any(message.role not in _ROLES for message in call.messages):
        return "tools"
    if not (call.prompt or any(message.content for message in call.messages)):
        return "no_prompt"
    said = (*_said(call), *(_shown(call) if judge else ()))
    if not trusted and any(map(contains, said)):
        return "personal_data"
    return None


def _shown(call: Call) -> Iterator[str]:
    """What a judge reads beside the prompt."""
    yield from (text for text in (call.response, call.reference, *call.contexts) if text)


def _said(call: Call) -> Iterator[str]:
    """Every text that a candidate would read."""
    yield call.prompt or ""
    yield from (message.content for message in call.messages if message.content != call.prompt)
    if call.parameters:
        yield json.dumps(call.parameters, ensure_ascii=False)


def _within_bounds(
    tx: Transaction, drawn: Sequence[_Drawn], skipped: Counter[tuple[str, str]], now: float
) -> list[tuple[_Drawn, list[str]]]:
    """Those that no cap and no earlier call of their unit forbids, and the rows they count in."""
    seen = tickets.used(tx, (quota for one in drawn for quota in one.quotas), now)
    units = {key for one in drawn for key in one.rows.values() if key is not None}
    taken = experiments.known(tx, sorted(units))
    chosen = []
    for one in drawn:
        if any(seen[quota] >= most for quota, most in one.quotas.items()):
            skipped[one.candidate, "capped"] += 1
            continue
        rows = [row for row, key in one.rows.items() if key is None or key not in taken]
        if not rows:
            skipped[one.candidate, "repeated_unit"] += 1
            continue
        taken |= {key for row in rows if (key := one.rows[row]) is not None}
        _count(seen, one, 1)
        chosen.append((one, rows))
    return _entered(tx, chosen, seen, skipped, now)


def _entered(
    tx: Transaction,
    chosen: Iterable[tuple[_Drawn, list[str]]],
    seen: dict[Quota, int],
    skipped: Counter[tuple[str, str]],
    now: float,
) -> list[tuple[_Drawn, list[str]]]:
    """Enter the units; one that another worker's flush entered meanwhile is a repeated one."""
    chosen = list(chosen)
    wanted = {key for one, rows in chosen for row in rows if (key := one.rows[row]) is not None}
    new = tickets.enter_units(tx, wanted, now)
    kept = []
    for one, rows in chosen:
        left = [row for row in rows if one.rows[row] is None or one.rows[row] in new]
        if left:
            kept.append((one, left))
        else:
            skipped[one.candidate, "repeated_unit"] += 1
            _count(seen, one, -1)
    tickets.use(tx, seen, now)
    return kept


def _count(seen: dict[Quota, int], one: _Drawn, n: int) -> None:
    for quota in one.quotas:
        seen[quota] += n


def _ticket(one: _Drawn, rows: Sequence[str], shadow: Shadow, now: float) -> Mapping[str, Any]:
    call = one.stored.call
    judge = shadow.candidates[one.candidate].rubric is not None
    if judge:
        rows = []  # a ticket of its own kind is in no pair, and no pane waits for it
    return {
        "key": ticket_key(one.candidate, call.service, call.id),
        "probe": JUDGE if judge else "",
        "candidate": one.candidate,
        "source": one.stored.source,
        "service": call.service,
        "pair": call.id,
        "call_key": one.stored.key,
        "at": call.at,
        "common": int("" in rows),
        "counts_in": json.dumps(rows),
        "model": shadow.candidates[one.candidate].model,
        "state": "owed",
        "expires_at": now + shadow.wait_s,
        "stored_at": now,
    }
