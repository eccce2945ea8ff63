"""Rows as stores have them: read whatever wrote them, and packed once by who holds them."""

import base64

import pytest
import zstandard

from agent.buckets import ZERO_BUCKET
from agent.packing import open_row
from agent.panes import Group, PaneBook, Row, RowKey
from agent.summaries import Counts, LogHistogram
from agent.sums import merged

# What the program of 2026-11-25 wrote of `row_of`, with its largest sum in 64 bits and beyond.
PLAIN = (
    "D77#BU`GH21^{x(BP@W$X$(V$pP&hDMq+fKHp`&V+KzD-&pgGN1alcsA90qPv?>JI2L2HdnF88aH>@|S63hc^-4cLq"
    "GnD0?w$+0G)kX?@4l)g}!p}K>)qr2|H<0|*@gpEP;mW?U1SBtz>qaP5Z6ADXKzeIMn6}c}xYI;gDo^xqk_&W^7GaF*"
    "9_MHLlOOvR|KWE66##(Q@N<&^J_v-sU=7#+W~fAgdmve0DKG^n76T^W4j=&c?j#JZ5jYMzb7K"
)
WIDE = (
    "D77#BU||3?2LLipF)WZN>9dsG-LL+CsIhPc_uF!`i(l~WCtY(_1V`?@i6qis!~xZxmM}y8ZKnz0=>bn?JSB<?3(C_a"
    "5is2YM3TC=$b%3O7Zu>kWlSpGrpy|qG*znPUCV8$?rzSi=3<QPQgynOGReEV+TEC~YK_yj8>P5evzn`yt>#{q_+Rj!"
    "@kIX<^MBxp4lt>FQXzPvS42-PLMXDh2j4OQJtuKEEDm}uy2k^;u%Hf=+yJv#B8<_cHvS*{Pxw#yZ}4B>e<KV4P}=Zl"
    "!^#X82o&1@XK)7)fO~fm2G<B2hn=}G"
)
EMPTY = "D77#BAR%o404M+e0RV9V06@kvzyb"


def row_of(square: int) -> Row:
    """Two ranges, an amount with zeros, a series of which all is missing, counts of two bytes."""
    row = Row(calls=Counts({"ok": 3, "error": 1}), panels=Counts({"0a1b": 4}))
    score = row.bounded("score", 0, 1)
    score.add([(0, 1), (128, 300)], 301, 5 << 31, -7)
    score.missing.add("no_response", 2)
    score.missing.add("time out", 1)
    row.bounded("difference", -1, 1).add([(256, 1)], 1, 1 << 32, square)
    row.bounded("none", 0, 1).missing.add("error", 1)
    latency = row.summaries["latency"] = LogHistogram()
    latency.add([(ZERO_BUCKET, 2), (-3, 1), (400, 5)], 8, -(1 << 40), 1 << 50)
    return row


@pytest.mark.parametrize(("text", "square"), [(PLAIN, 1 << 32), (WIDE, 1 << 90)])
def test_rows_of_a_store_of_before_are_read_and_merge_with_those_of_now(
    text: str, square: int
) -> None:
    blob, row = base64.b85decode(text), row_of(square)
    back = Row.from_bytes(blob)
    assert back.summaries == row.summaries
    assert (back.calls, back.panels) == (row.calls, row.panels)
    now = row.to_bytes()
    assert zstandard.decompress(now) == zstandard.decompress(blob)
    assert merged([blob, now]) == row_of(square).merge(row).to_bytes()


def test_an_empty_row_of_before_is_empty() -> None:
    blob = base64.b85decode(EMPTY)
    assert open_row(blob) == open_row(Row().to_bytes())
    assert merged([blob, row_of(1).to_bytes()]) == row_of(1).to_bytes()


def test_a_book_gives_each_changed_row_once_and_packed_rows_come_back_with_their_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PaneBook, "UNPACKED_MAX", 2)
    book, keys = PaneBook(groups_max=9), [RowKey(0, Group("s", "m", name)) for name in "abcd"]
    wanted = dict.fromkeys(keys, 0)
    for chosen in (keys, keys[:1], keys[:2], keys[2:], keys):
        for key in chosen:
            wanted[key] += 1
            row = book.open(key)
            row.calls.add("ok")
            row.bounded("score", 0, 1).add([(7, 1)], 1, 1, 1)
        packed = book.pack_dirty()
        assert [one.key for one in packed] == chosen and len(book) == 4
        for one in packed:
            stored = Row.from_bytes(one.blob)
            assert (
                one.calls == stored.calls.total() == stored.summaries["score"].n == wanted[one.key]
            )
    assert book.pack_dirty() == []


def test_a_book_holds_few_rows_unpacked_beside_those_of_the_last_flush(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PaneBook, "UNPACKED_MAX", 2)
    book, keys = PaneBook(groups_max=9), [RowKey(0, Group("s", "m", name)) for name in "abcd"]
    rows = [book.open(key) for key in keys]
    book.pack_dirty()
    assert book.open(keys[0]) is rows[0]
    book.pack_dirty()
    assert [book.open(key) is row for key, row in zip(keys, rows, strict=True)] == [1, 0, 0, 0]
    book.pack_dirty()
    book.drop_closed(10, 10)
    for key in keys[:3]:
        assert not book.open(key._replace(pane=10)).summaries
        book.pack_dirty()
    assert len(book) == 3
