"""An answer as a native record: a call like any other, which the scorers read."""

from typing import Any

import orjson

from agent.experiments import PROBE, SHADOW
from agent.record import Answer, Ask
from agent.shadows import Candidate
from agent.store.tickets import answer_id
from shadow.candidates import priced


def record_of(ask: Ask, candidate: Candidate, answer: Answer, began: float) -> bytes | None:
    """JSON of the candidate's call; `began` is when it was asked, in epoch seconds.

    A judge's is a judgement of the call that it is about, and None where it gave no verdict.
    """
    if ask.judge:
        return _verdict(ask, answer, began)
    call = ask.call
    turns = [{"role": turn.role, "content": turn.content} for turn in call.messages]
    body: dict[str, Any] = {
        "id": answer_id(ask.ticket),
        "at": began,
        "service": call.service,
        "model": candidate.model,
        "variant": call.variant if call.variant.startswith(PROBE) else SHADOW + ask.candidate,
        "origin": "shadow",
        "pair": call.id,
        "unit": call.unit,
        "session": call.session,
        "segment": dict(call.segment),
        "prompt": turns or call.prompt,
        "contexts": call.contexts,
        "reference": call.reference,
        "response": answer.text,
        "latency_s": answer.latency_s,
        "ttft_s": answer.ttft_s,
        "tokens_in": answer.tokens_in,
        "tokens_out": answer.tokens_out,
        "cost_usd": priced(answer, candidate.price),
        "status": answer.status,
        "error": answer.error,
        "finish": answer.finish,
    }
    return orjson.dumps({name: value for name, value in body.items() if value is not None})


def _verdict(ask: Ask, answer: Answer, began: float) -> bytes | None:
    if answer.status != "ok" or answer.text is None:
        return None
    value = 2 * float(answer.text) - 1
    body = {"feedback_for": ask.call.id, "at": began, "value": value, "judge": ask.candidate}
    return orjson.dumps(body)
