"""Hostile texts through HTTP into the store and out again: inert on every page, in JSON and CSV.

The numbers are those of the list that the project keeps of hostile inputs.
"""

import csv
import io
import json
import logging
import socket
import unicodedata
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from starlette.testclient import TestClient

from agent.config import Config, load_config
from agent.monitor import Monitor
from agent.score import load_panel
from agent.store import Store, open_store
from consumers import house
from consumers.inbox import Inbox
from consumers.recorder import Recorder, instruments
from consumers.server.views import VIEWS
from consumers.worker import Worker
from tests.road import native
from tests.serving import served

START = 1_767_225_600
SECRET, CARD = "sk-proj-Zq3vT8wX1nB6mK4jH7gF2dS9aP5oL0iU", "4111 1111 1111 1111"
HOSTILE = {
    "10": 'a"\n\x00{b="c"} ' + "x" * 5_000,
    "26 image": "<img src=x onerror=alert(1)>",
    "26 drawing": "\"'><svg/onload=alert(1)>",
    "26 script": "</script><script>alert(1)</script></textarea></title><!--",
    "26 link": "javascript:alert(1)",
    "26 template": "{{7*7}}{% for x in y %}${7*7}",
    "27": "a\u202eb\u2066c\u200bd\U000e0041e",
    "30": "\x1b[2J\r\nX-Evil: yes\r\n\r\nERROR forged %s%n ${jndi:ldap://x}",
    "31 link": '=HYPERLINK("http://evil.example","x")',
    "31 sum": "@SUM(1+1)",
    "32": "'; drop table calls; -- $1 %s :name",
    "33": "../../etc/passwd file:///etc/passwd http://169.254.169.254/latest",
    "40": f"the key is {SECRET} and the card {CARD}",
}
NAMES = ("model", "service", "variant", "unit", "session", "error", "finish")
TEXTS = ("prompt", "response", "reference")


def records() -> Iterator[dict[str, Any]]:
    for number, (name, text) in enumerate(HOSTILE.items()):
        shown = "".join(c for c in text[:100] if unicodedata.category(c) != "Cc")
        for n in range(12):
            more: dict[str, Any] = dict.fromkeys(TEXTS, text) | {"contexts": [text]}
            # Secrets belong into texts; a name is no text, and nobody would find one there.
            if name != "40":
                more |= dict.fromkeys(NAMES, text) | {"segment": {"tenant": text}}
            # An id with a control is refused, and the reason is all that is shown of it.
            known = shown if n == 0 and name not in ("10", "40") else f"{number}-{n}"
            yield native(number, at=START + 30 * n, latency_s=9.0, status="error", **more) | {
                "id": known}  # fmt: skip
        yield native(number, id=f"\x1b[2J{text}"[:100])
        yield {text: text}


def config(folder: Path) -> Config:
    return load_config(
        store={"url": f"sqlite:///{folder}/v.db", "text_days": 9}, models=False, drift={},
        segments=["tenant"], slo={"fast": {"metric": "latency", "at_most": 1, "target": 0.99}},
        intake={"sample_rate": 1.0}, server={"requests_per_s": 1e6, "burst": 10**6},
    )  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """Where it is kept, what was answered by its address, and every line that was logged."""

    folder: Path
    answers: dict[str, str]
    lines: list[str]

    @property
    def pages(self) -> dict[str, str]:
        found = {kind: text for kind, text in self.answers.items() if kind[:5] != "/api/"}
        assert len(found) > 60
        return found


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A store that took all of it in by the front door, and what came out again."""
    folder, heard = tmp_path_factory.mktemp("hostile"), _Lines()
    told = config(folder)
    logging.getLogger().addHandler(heard)
    try:
        with served(told, clock=lambda: START + 400.0) as client:
            body = b"\n".join(json.dumps(one).encode() for one in records())
            taken = client.post("/ingest", content=body).json()
            assert taken["accepted"] == 12 * len(HOSTILE)
        with closing(open_store(told.store.url.get_secret_value())) as store:
            _work(told, store)
        with _offline(), served(told) as client:
            yield Shown(folder, _ask_all(client), heard.lines)
    finally:
        logging.getLogger().removeHandler(heard)


def _work(told: Config, store: Store) -> None:
    recorder = Recorder(told, store, instruments(told))
    monitor = Monitor(told, store, load_panel(told), on_step=recorder.step)
    worker, idle = Worker(told, store, Inbox(store), monitor, recorder, "test"), 0
    with pytest.MonkeyPatch.context() as patch, closing(recorder):
        patch.setattr(house, "_HOUSE_S", 0.0)
        while idle < 3:
            idle = 0 if worker.step(0.0) else idle + 1


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def _offline() -> Iterator[None]:
    def refused(*where: Any, **_: Any) -> None:
        raise AssertionError(f"{where} was looked up")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", refused)
        patch.setattr(socket.socket, "connect", refused)
        yield


def asked() -> Iterator[str]:
    """Every page by itself, and with each hostile text as what it may be asked for."""
    for view in VIEWS:
        yield view.path
        names = [name for name, field in view.asks.model_fields.items() if field.annotation is str]
        # Who asks for a secret knows it.
        for text in (text[:60] for name, text in HOSTILE.items() if name != "40"):
            for chosen in (names[:1], names[-1:], names):
                yield f"{view.path}?{urlencode(dict.fromkeys(chosen, text))}"
    yield f"/calls?id={len(HOSTILE) - 1}-0"  # what holds the secret
    for text in list(HOSTILE.values())[:-1]:
        yield f"/?{urlencode({'service': text[:128], 'model': text[:128], 'metric': 'latency'})}"


def _ask_all(client: TestClient) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in dict.fromkeys(asked()):
        place, _, query = path.partition("?")
        name = "now" if place == "/" else place[1:]
        tables = () if query else (f"/api/{name}.csv",)
        for kind in (path, f"/api/{name}?{query}", *tables):
            answer = client.get(kind)
            assert answer.status_code in (200, 404, 422), (kind, answer.text[:200])
            assert "x-evil" not in answer.headers
            assert answer.headers["x-content-type-options"] == "nosniff"
            if answer.status_code == 200:
                found[kind] = answer.text
    return found


class Elements(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_26_and_33_a_page_has_the_elements_of_its_template_and_no_other(hostile: Shown) -> None:
    places = ("/", "#", "?")
    for kind, text in hostile.pages.items():
        for tag, held in Elements(text).tags:
            assert tag not in ("img", "iframe", "object", "embed", "base", "textarea"), kind
            assert not [name for name in held if name.startswith("on") or name == "style"], kind
            if tag == "script":
                assert (held.get("src") or "").startswith("/static/page.js?"), kind
            for name in ("href", "src", "action"):
                if held.get(name) not in (None, "data:,"):
                    assert (held[name] or "").startswith(places), (kind, held)
                    assert not (held[name] or "").startswith(("//", "/\\")), (kind, held)


def test_26_and_32_texts_stand_as_they_are(hostile: Shown) -> None:
    seen = "\n".join("".join(Elements(text).texts) for text in hostile.pages.values())
    for name in ("26 image", "26 drawing", "26 script", "26 template", "32"):
        assert HOSTILE[name] in seen, name


def test_27_and_30_what_would_not_be_seen_is_written_out(hostile: Shown) -> None:
    for kind, text in hostile.pages.items():
        hidden = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs")} - {"\n", "\t"}
        assert not hidden, (kind, hidden)
    seen = "".join(hostile.pages.values())
    assert "a\\u202eb\\u2066c\\u200bd\\ue0041e" in seen
    # Programs get what was sent.
    assert "a\u202eb" in hostile.answers["/api/calls?"]


def test_31_no_cell_is_a_formula(hostile: Shown) -> None:
    tables = {kind: text for kind, text in hostile.answers.items() if ".csv" in kind}
    assert "'=HYPERLINK" in "".join(tables.values())
    for kind, text in tables.items():
        head, *rows = csv.reader(io.StringIO(text, newline=""))
        for row in rows:
            assert len(row) == len(head), kind
            for cell in row:
                assert cell[:1] not in ("=", "@", "+", "\t", "\r"), (kind, cell)
                assert cell[:1] != "-" or float(cell) < 0, (kind, cell)


def test_40_a_secret_in_a_text_is_nowhere(hostile: Shown) -> None:
    assert "the key is" in "".join(hostile.answers.values())
    found = {kind for kind, text in hostile.answers.items() if SECRET in text or CARD in text}
    assert not found


def test_30_what_is_logged_is_lines(hostile: Shown) -> None:
    assert [line for line in hostile.lines if "slo fast" in line]  # hostile names ring
    for line in hostile.lines:
        assert not {c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Cs")}, repr(line)


def test_30_and_33_nothing_gets_into_a_header(tmp_path: Path) -> None:
    tokens = {"a": {"role": "read", "secret": "read-0123456789abcdef"}}
    told = load_config(store={"url": f"sqlite:///{tmp_path}/v.db"}, server={"tokens": tokens})
    with served(told) as client:
        for text in HOSTILE.values():
            path = f"/calls?id={quote(text[:500])}"
            answer = client.get(path, headers={"Accept": "text/html"})
            assert answer.status_code == 303 and "x-evil" not in answer.headers
            assert answer.headers["location"].startswith("/login?to=/calls")
            page = client.get(f"/login?to={quote(text[:500])}").text
            assert 'name="to" value="/"' in page and "<svg" not in page
        for name in ("26 drawing", "26 link", "30", "33"):
            data = {"token": "read-0123456789abcdef", "to": HOSTILE[name]}
            assert client.post("/login", data=data).headers["location"] == "/"
