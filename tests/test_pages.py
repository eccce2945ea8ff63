"""Pages and their JSON: one reading for both, one copy for all who ask within a moment."""

from pathlib import Path

from consumers.server.copies import Copies
from consumers.server.pages import visible
from tests.serving import served, told


def test_a_page_and_its_numbers_are_answered_and_asked_again_by_tag(tmp_path: Path) -> None:
    with served(told(tmp_path)) as client:
        page = client.get("/pipeline", headers={"Accept": "text/html"})
        assert page.status_code == 200 and "<h1>Pipeline</h1>" in page.text
        again = client.get("/pipeline", headers={"If-None-Match": page.headers["etag"]})
        assert again.status_code == 304 and not again.content
        assert client.get("/api/pipeline").json()["received"] == 0
        assert client.get("/api/pipeline?letters=x").json() == {
            "error": "query.letters: Input should be a valid integer, unable to parse string as "
            "an integer"
        }


def test_who_asks_within_a_moment_gets_the_same_copy() -> None:
    made, now = list[int](), [0.0]
    copies = Copies(2.0, lambda: now[0])

    def make() -> bytes:
        made.append(1)
        return b"page %d" % len(made)

    assert [copies.get("/", "text/html", make).body for _ in range(3)] == [b"page 1"] * 3
    now[0] = 2.0
    assert copies.get("/", "text/html", make).body == b"page 2"


def test_what_would_not_be_seen_is_written_out() -> None:
    assert visible("a\u202eb\u200bc\U000e0041") == "a\\u202eb\\u200bc\\ue0041"
    assert visible("über\nzwei") == "über\nzwei"
