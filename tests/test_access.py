"""Who may ask the server for what: no token, a wrong one, one with another role, another site."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Message

from agent.errors import BadConfig
from agent.store import open_store
from consumers.server.access import keys_of
from consumers.server.app import Bodiless
from consumers.server.views import VIEWS
from tests.serving import TOKENS, bearer, served, told

WITH_ROLE = {"read": "looker", "ingest": "sender", "admin": "keeper"}
TAKES_LOGS = ("/ingest", "/ingest/litellm", "/v1/traces", "/v1/logs")


def _role(method: str, path: str) -> str | None:
    """What docs/serve.md says of a route that the description names."""
    if path in ("/livez", "/readyz"):
        return None
    if path in TAKES_LOGS:
        return "ingest"
    return "read" if method == "GET" or path == "/evaluate" else "admin"


def _routes(client: TestClient) -> list[tuple[str, str]]:
    described = client.get("/openapi.json", headers=bearer("keeper")).json()["paths"]
    found = [(method.upper(), path) for path, held in described.items() for method in held]
    assert len(found) >= 4
    return [*found, ("GET", "/openapi.json"), *(("GET", view.path) for view in VIEWS)]


def test_every_route_refuses_no_token_a_wrong_one_and_another_role(tmp_path: Path) -> None:
    with served(told(tmp_path, tokens=TOKENS)) as client:
        for method, path in _routes(client):
            needed = _role(method, path)
            if needed is None:
                assert client.request(method, path).status_code == 200, path
                continue
            wrong = {"Authorization": f"Bearer {TOKENS['keeper']['secret']}x"}
            assert client.request(method, path).status_code == 401, path
            answer = client.request(method, path, headers=wrong)
            assert answer.status_code == 401 and "nobody has this token" in answer.text, path
            for role, name in WITH_ROLE.items():
                if role not in (needed, "admin"):
                    answer = client.request(method, path, headers=bearer(name))
                    assert answer.status_code == 403, (path, role)


def test_a_token_opens_what_its_role_opens(tmp_path: Path) -> None:
    with served(told(tmp_path, tokens=TOKENS)) as client:
        for name in ("looker", "keeper"):
            assert client.get("/api/pipeline", headers=bearer(name)).status_code == 200
        assert client.get("/livez").status_code == 200


def test_a_browser_without_a_token_is_led_to_the_way_in(tmp_path: Path) -> None:
    with served(told(tmp_path, tokens=TOKENS)) as client:
        answer = client.get("/pipeline?letters=5", headers={"Accept": "text/html"})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?to=/pipeline%3Fletters%3D5"


def test_a_browser_is_told_on_a_page_that_a_role_is_not_enough(tmp_path: Path) -> None:
    with served(told(tmp_path, tokens=TOKENS)) as client:
        client.post("/login", data={"token": TOKENS["sender"]["secret"]})
        page = client.get("/pipeline?letters=5", headers={"Accept": "text/html"})
        assert page.status_code == 403 and page.headers["content-type"].startswith("text/html")
        assert "needs a token with the role read" in page.text
        assert "Signed in as sender" in page.text and 'action="/logout"' in page.text
        assert 'name="to" value="/pipeline?letters=5"' in page.text
        answer = client.get("/pipeline", headers={"Accept": "application/json"})
        assert answer.json() == {"error": "needs a token with the role read"}


def test_head_is_answered_as_get_without_a_body(tmp_path: Path) -> None:
    with served(told(tmp_path, tokens=TOKENS)) as client:
        for path in (*(view.path for view in VIEWS), "/api/pipeline", "/livez", "/static/page.css"):
            whole = client.get(path, headers=bearer("looker"))
            head = client.head(path, headers=bearer("looker"))
            assert (head.status_code, head.content) == (200, b""), path
            for name in ("content-type", "content-security-policy"):
                assert head.headers[name] == whole.headers[name]
            assert int(head.headers["content-length"]) > 0
        assert client.head("/ingest", headers=bearer("sender")).status_code == 405
        assert client.head("/pipeline").status_code == 401


def test_the_body_of_a_head_does_not_leave_us() -> None:
    sent = list[Message]()

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    head = {"type": "http", "method": "HEAD", "path": "/", "headers": []}
    asyncio.run(Bodiless(PlainTextResponse("here"))(head, receive, send))
    assert (b"content-length", b"4") in sent[0]["headers"]
    assert [one["body"] for one in sent[1:]] == [b""]


def test_who_signs_out_while_the_store_is_away_is_told_what_stays(tmp_path: Path) -> None:
    with served(told(tmp_path, tokens=TOKENS)) as client:
        client.post("/login", data={"token": TOKENS["looker"]["secret"]})
        other = open_store(f"sqlite:///{tmp_path}/v.db", writer=False)
        with closing(other), other.transaction() as tx:
            tx.execute(text("DROP TABLE ended_sessions"))
        assert client.get("/api/pipeline").status_code == 503
        answer = client.post("/logout")
        assert answer.status_code == 503 and "a copy of the cookie is good" in answer.text
        assert 'vedette=""' in answer.headers["set-cookie"]
        assert client.get("/login").status_code == 200


def test_tokens_are_required_off_loopback(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"server\.tokens: are required where 0\.0\.0\.0"):
        keys_of(told(tmp_path, host="0.0.0.0").server)
    assert keys_of(told(tmp_path, host="0.0.0.0", tokens=TOKENS).server)
    assert not keys_of(told(tmp_path, host="::1").server)


def test_a_name_that_was_bent_to_this_machine_is_refused(tmp_path: Path) -> None:
    with served(told(tmp_path, names=("vedette.example",))) as client:
        for host, status in (("evil.example", 421), ("vedette.example", 200), ("[::1]:80", 200)):
            assert client.get("/api/pipeline", headers={"Host": host}).status_code == status


def test_a_page_of_ours_posts_through_a_proxy_that_calls_us_otherwise(tmp_path: Path) -> None:
    ours = {"Origin": "https://vedette.example", "Host": "10.0.0.7:8080"}
    with served(told(tmp_path, tokens=TOKENS, names=("vedette.example",))) as client:
        data = {"token": TOKENS["looker"]["secret"]}
        assert client.post("/login", data=data, headers=ours).status_code == 303
        ours["Origin"] = "https://vedette.example.evil.example"
        assert client.post("/login", data=data, headers=ours).status_code == 403


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_page_elsewhere_may_not_post(tmp_path: Path, headers: dict[str, str]) -> None:
    with served(told(tmp_path)) as client:
        assert client.post("/evaluate", headers=headers).status_code == 403


def test_what_protects_a_reader_is_on_every_answer(tmp_path: Path) -> None:
    with served(told(tmp_path, tokens=TOKENS)) as client:
        for path in ("/pipeline", "/livez", "/nothing", "/static/page.css"):
            held = client.get(path).headers
            assert "script-src 'self'" in held["content-security-policy"]
            assert held["x-content-type-options"] == "nosniff"
