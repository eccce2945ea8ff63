"""Which changed prompts a candidate is asked, once it has answered the unchanged one.

A probe is an Ask like any other: its ticket is bound to the production call, the candidate and the
kind, so the same answer that is read twice is probed once.
"""

from collections.abc import Sequence
from dataclasses import replace

from agent.buckets import event_key
from agent.experiments import PROBE
from agent.probes import PROBES, SEGMENT
from agent.record import Answer, Ask, Call, Message
from agent.store.tickets import ticket_key
from shadow.probes import changed


def probe_asks(ask: Ask, answer: Answer, share: float) -> list[Ask]:
    """The probes of a candidate's answer: of a `share` of the calls one of robustness and one of
    fairness, each the first kind that applies in an order drawn by the call.

    `reference` of a probe's call is the answer to the unchanged prompt, `pair` the production
    call's id, and the segment `probe` its kind.
    """
    said = answer.status == "ok" and (answer.text or "").strip()
    if not said or ask.call.variant.startswith(PROBE) or _drawn(ask, "") >= share:
        return []
    found = (_first(ask, answer, tuple(kinds)) for kinds in PROBES.values())
    return [one for one in found if one is not None]


def _first(ask: Ask, answer: Answer, kinds: Sequence[str]) -> Ask | None:
    for kind in sorted(kinds, key=lambda kind: _drawn(ask, kind)):
        call = _asked(ask, answer, kind)
        if call is not None:
            ticket = ticket_key(ask.candidate, call.service, ask.call.id, kind)
            return Ask(ticket, ask.candidate, call)
    return None


def _asked(ask: Ask, answer: Answer, kind: str) -> Call | None:
    call, text = ask.call, ask.call.prompt
    seed = int.from_bytes(event_key("probe", ask.candidate, call.service, call.id, kind)[:8])
    said = None if text is None else changed(kind, text, seed)
    messages = call.messages if said is None else _said(call.messages, text or "", said)
    if said is None or messages is None:
        return None
    segment = tuple(sorted({**dict(call.segment), SEGMENT: kind}.items()))
    return replace(
        call, variant=PROBE + ask.candidate, origin="shadow", pair=call.id, prompt=said,
        messages=messages, reference=answer.text, segment=segment,
    )  # fmt: skip


def _said(messages: Sequence[Message], old: str, new: str) -> tuple[Message, ...] | None:
    """The conversation with its last user's message changed; None where that is another text."""
    if not messages:
        return ()
    last = max((at for at, one in enumerate(messages) if one.role == "user"), default=-1)
    if last < 0 or messages[last].content != old:
        return None
    return (*messages[:last], replace(messages[last], content=new), *messages[last + 1 :])


def _drawn(ask: Ask, kind: str) -> float:
    """A uniform number in [0, 1) that the call, the candidate and the kind decide."""
    key = event_key("probes", ask.candidate, ask.call.service, ask.call.id, kind)
    return int.from_bytes(key[:7]) / 2**56
