"""Forgetting a subject: a user, or a session."""

import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Select, delete, select

from agent.store.judgements import judgements
from agent.store.letters import headers_of
from agent.store.tables import calls, dead_letters, examples, halves, texts
from agent.store.ticket_tables import tickets

_CHUNK = 500
# Records are up to 4 MiB: so many are looked at together.
_LOOKED_AT = 50
# What no text holds: a record with one of them is protobuf, or worse.
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)


def forget(tx: Connection, unit: str, *spellings: str) -> dict[str, int]:
    """Delete a subject's call rows with their twins', texts, examples, tickets, verdicts, waiting
    halves and dead letters; how many each.

    `unit` is the subject as rows have it, `spellings` are how records may have it. Sums in panes
    stay: they hold no subject. The `seen` keys stay, so that a repeat counts once.
    """
    keys = _keys(unit)
    done = {"texts": tx.execute(delete(texts).where(texts.c.key.in_(keys))).rowcount}
    for table in (tickets, examples, judgements):
        done[table.name] = tx.execute(delete(table).where(table.c.call_key.in_(keys))).rowcount
    done["calls"] = tx.execute(delete(calls).where(calls.c.key.in_(keys))).rowcount
    names = {_composed(one) for one in (unit, *spellings)}
    letters = [row["id"] for row in _rows(tx, select(dead_letters)) if _mentions(row, names)]
    done["dead_letters"] = _drop(tx, dead_letters.c.id, letters)
    waiting = [row["key"] for row in _rows(tx, select(halves)) if _is_of(row, unit)]
    done["halves"] = _drop(tx, halves.c.key, waiting)
    return done


def _keys(unit: str) -> Select[Any]:
    """The keys of a subject's calls."""
    mine, asked = calls.alias("mine"), calls.alias("asked")
    own = (asked.c.unit == unit) | (asked.c.session == unit)
    met = (asked.c.id == mine.c.pair) | (asked.c.pair == mine.c.pair)
    # What a candidate was asked is what the subject asked.
    there = own, asked.c.origin == "production", asked.c.service == mine.c.service, met
    twin = (mine.c.origin == "shadow") & select(asked.c.key).where(*there).exists()
    return select(mine.c.key).where((mine.c.unit == unit) | (mine.c.session == unit) | twin)


def _rows(tx: Connection, query: Select[Any]) -> Iterator[dict[str, Any]]:
    for row in tx.execute(query.execution_options(yield_per=_LOOKED_AT)):
        yield dict(row._mapping)


def _drop(tx: Connection, key: Column[Any], gone: Sequence[Any]) -> int:
    for i in range(0, len(gone), _CHUNK):
        tx.execute(delete(key.table).where(key.in_(gone[i : i + _CHUNK])))
    return len(gone)


def _is_of(half: dict[str, Any], unit: str) -> bool:
    call = json.loads(half["body"])["call"]
    return unit in (call["unit"], call["session"])


def _mentions(letter: dict[str, Any], names: Collection[str]) -> bool:
    """Whether a record that could not be read has one of the names, as a word of its own."""
    parts = (letter["value"], letter["record_key"], *(value for _, value in headers_of(letter)))
    return any(_holds(bytes(part), name) for part in parts if part for name in names)


def _holds(body: bytes, name: str) -> bool:
    text = body.decode("utf-8", "surrogateescape")
    if "\\" in text:  # JSON's escapes, in whole JSON or not
        plain = _ESCAPE.sub(_unescaped, text)
        text = plain.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    text = _composed(text)
    if _BINARY.search(body):  # lengths and tags beside it may look like letters
        return name in text
    whole = rf"(?<!\w)(?<!\d\.){re.escape(name)}(?!\w)(?!\.\d)"
    return re.search(whole, text) is not None


def _unescaped(found: re.Match[str]) -> str:
    code, letter = found.groups()
    return chr(int(code, 16)) if code else " " if letter in "bfnrt" else letter


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()
