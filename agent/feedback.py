"""Later judgements of calls, of people and of judges: which are counted, and of which call."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.buckets import event_key
from agent.intake import Plan, identity, letter
from agent.record import Call, Feedback
from agent.store import Transaction, judgements, reads, writes


@dataclass(frozen=True, slots=True)
class Judged:
    """A person's judgement and the stored call that it is about."""

    part: int
    arrival: float
    value: float
    key: bytes
    call: Call
    metric: str = "feedback"


def accept_feedback(
    tx: Transaction, plan: Plan, accepted: Sequence[int], now: float
) -> list[Judged]:
    """Feedback about stored and about accepted calls, each once; the rest is set aside."""
    known = reads.calls_by_id(tx, [item.call_id for _, _, item in plan.feedback])
    for i in accepted if plan.feedback else ():
        call = plan.work[i].call
        if call.id not in known or call.origin == "production":
            known[call.id] = call
    found: dict[bytes, tuple[int, float, Feedback]] = {}
    for part, record, item in plan.feedback:
        key = event_key(item.metric, item.call_id, repr(item.at))
        if item.call_id not in known:
            plan.ledgers[part]["invalid"] += 1
            plan.letters.append(letter(record, "unknown_call", ""))
        elif key in found:
            plan.ledgers[part]["duplicate"] += 1
        else:
            found[key] = part, record.arrival, item
    new, _ = writes.insert_seen(tx, [(key, 0) for key in found], now)
    judged = []
    for key, (part, arrival, item) in found.items():
        plan.ledgers[part]["feedback" if key in new else "duplicate"] += 1
        if key in new:
            judged.append(Judged(part, arrival, item.value, key, known[item.call_id], item.metric))
    judgements.keep(tx, [_judgement(one) for one in judged if one.metric != "feedback"], now)
    return judged


def _judgement(judged: Judged) -> judgements.Judgement:
    return judgements.Judgement(identity(judged.call), judged.metric, (judged.value + 1) / 2)
