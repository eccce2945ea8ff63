"""Figures of the pages: where lines lie, where they break, and that each number can be read."""

import math

from consumers.server.plots import Curve, Figure, Mark, drawn, sparked, value_scale
from consumers.server.words import ago, given, lasting, shown

START = 1_767_225_600.0
DASH = "\N{EN DASH}"


def figure(*values: float | None, **told: object) -> Figure:
    at = tuple(START + 60.0 * n for n in range(len(values)))
    return Figure("x", "ratio", at, 60.0, (Curve("mean", values),), **told)  # type: ignore[arg-type]  # what a test names


def test_a_line_runs_from_edge_to_edge_and_breaks_where_nothing_is_known() -> None:
    made = drawn(figure(0.2, 0.4, None, 0.4, 0.2))
    assert made is not None
    first, second = made.lines[0].path.split("M")[1:]
    places = [[float(one) for one in point.split()] for point in first.split("L")]
    assert [x for x, _ in places] == [0.0, 250.0] and places[0][1] > places[1][1]
    assert second.endswith(f"1000.0 {places[0][1]:.1f}")
    assert made.lines[0].end is not None and made.lines[0].end[2] == "0.200"


def test_a_value_by_itself_is_drawn_and_one_that_is_no_number_is_not() -> None:
    made = drawn(figure(None, 0.5, math.nan))
    assert made is not None and made.lines[0].path.count("L") == 1
    assert drawn(figure(None, None)) is None and sparked((None, None)) is None


def test_a_small_picture_has_its_points_where_they_are_with_and_without_gaps() -> None:
    whole, gaps = sparked((1.0, 2.0, 3.0, 2.0)), sparked((1.0, None, 3.0, 2.0), (1.0, 3.0))
    assert whole is not None and whole.path == "M0 931L333 500L666 69L1000 500"
    assert gaps is not None and gaps.path == "M-9 931h18M666 69L1000 500"
    assert gaps.band == (69, 862) and sparked((5.0,)) is not None


def test_every_point_is_a_row_that_can_be_read() -> None:
    band = {"lower": (0.1, 0.1), "upper": (0.3, 0.3), "band": "band"}
    made = drawn(figure(0.2, None, **band, level=Mark(0.9, "rings")))
    assert made is not None and made.columns == ["mean", "band"] and made.thinned == 0
    assert [one.cells for one in made.readings] == [
        ["0.200", "0.100 to 0.300"], [DASH, "0.100 to 0.300"],
    ]  # fmt: skip
    assert made.readings[1].when == "2026-01-01 00:01:00Z"
    assert made.level is not None and 0 < made.level < 50
    many = drawn(figure(*[0.5] * 1000))
    assert many is not None and many.thinned == 3 and len(many.readings) <= 400


def test_an_axis_does_not_pass_zero_for_room_only() -> None:
    assert value_scale([0.0, 1.0]).low == 0.0
    assert value_scale([-0.1, 1.0]).low < -0.1
    assert value_scale([0.5]).low < 0.5 < value_scale([0.5]).high


def test_numbers_and_times_in_words() -> None:
    said = [("share", 0.0314, "3.1 %"), ("share", 0.314, "31.4 %"), ("ratio", 0.7, "0.700"),
            ("seconds", 12.345, "12.3 s"), ("usd", 0.00123456, "0.00123 $"),
            ("count", 12345, "12,345"), ("ratio", None, DASH), ("tokens", math.inf, DASH),
            ("tokens", 1600.4, "1,600")]  # fmt: skip
    assert [shown(value, unit) for unit, value, _ in said] == [words for *_, words in said]
    assert [ago(s) for s in (3, 200, 90_000)] == ["just now", "3 min ago", "1 d 1 h ago"]
    assert [lasting(s) for s in (10, 60, 5400, 7200)] == ["10 s", "1 min", "90 min", "2 h"]
    assert given({"window": "1h", "model": ""}) == {"window": "1h"}
