"""How much one client gets: requests in a second, bytes, seconds; and the way in for browsers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import BadConfig
from consumers.server import access
from consumers.server.access import SESSION_S, keys_of
from consumers.server.limits import SMALL_BYTES, Rates, network_of
from consumers.server.login import place
from tests.serving import TOKENS, bearer, served, told


def test_a_client_gets_its_burst_and_then_its_rate() -> None:
    now = [0.0]
    rates = Rates(2.0, 3, lambda: now[0])
    assert [rates.take("ann") for _ in range(4)] == [0, 0, 0, 0.5]
    assert rates.take("bob") == 0
    now[0] = 0.5
    assert [rates.take("ann") for _ in range(2)] == [0, 0.5]
    now[0] = 1000.0
    assert [rates.take("ann") for _ in range(4)] == [0, 0, 0, 0.5]


@pytest.mark.parametrize(
    ("client", "network"),
    [
        (("192.0.2.7", 5), "192.0.2.7"),
        (("2001:db8:1:2:3::9", 5), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 5), "fe80::/64"),
        (("testclient", 5), "testclient"),
        (None, ""),
    ],
)
def test_an_address_is_told_by_its_network(client: object, network: str) -> None:
    assert network_of({"client": client}) == network


def test_who_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    with served(told(tmp_path, tokens=TOKENS, requests_per_s=0.01, burst=3)) as client:
        for name in ("looker", "keeper"):  # each token has its own
            answers = [client.get("/api/pipeline", headers=bearer(name)) for _ in range(4)]
            assert [one.status_code for one in answers] == [200, 200, 200, 429]
            assert 50 <= int(answers[3].headers["retry-after"]) <= 100
        # Nor may tokens be tried at will, and a supervisor never waits.
        tried = [client.get("/metrics").status_code for _ in range(4)]
        assert tried == [401, 401, 401, 429]
        assert {client.get("/livez").status_code for _ in range(9)} == {200}


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    def endless() -> Iterator[bytes]:  # without a length
        yield from (b"x" * 1024 for _ in range(1000))

    with served(told(tmp_path, body_bytes=128 << 10)) as client:
        answer = client.post("/evaluate", content=b"x" * (128 << 10))
        assert answer.status_code == 422
        answer = client.post("/evaluate", content=b"x" * ((128 << 10) + 1))
        assert answer.status_code == 413
        assert answer.json() == {"error": "a body has at most 131072 bytes here"}
        assert client.post("/evaluate", content=endless()).status_code == 413
        assert client.post("/login", content=b"x" * (SMALL_BYTES + 1)).status_code == 413
        assert client.get(f"/livez?{'x' * 8192}").status_code == 414
        assert client.get("/livez", headers={"x-a": "x" * 16384}).status_code == 431


def test_a_browser_signs_in_and_out(tmp_path: Path) -> None:
    with served(told(tmp_path, tokens=TOKENS)) as client:
        assert 'value="/pipeline?letters=5"' in client.get("/login?to=/pipeline?letters=5").text
        secret = TOKENS["looker"]["secret"]
        answer = client.post("/login", data={"token": secret, "to": "/pipeline"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/pipeline")
        kept = answer.headers["set-cookie"]
        assert "HttpOnly" in kept and "SameSite=strict" in kept and "Secure" not in kept
        assert secret not in kept
        assert client.get("/api/pipeline").status_code == 200
        assert client.get("/login?to=/pipeline").headers["location"] == "/pipeline"
        assert client.post("/api/nothing").status_code == 403  # the role of its token
        copied = {"Cookie": f"vedette={client.cookies['vedette']}"}
        answer = client.post("/logout", data={"to": "/pipeline?letters=5"})
        assert answer.headers["location"] == "/login?to=/pipeline%3Fletters%3D5"
        assert client.get("/api/pipeline").status_code == 401
        assert client.get("/api/pipeline", headers=copied).status_code == 401
        assert client.get("/login", headers=copied).status_code == 200  # and not sent on
        client.post("/login", data={"token": secret})
        assert client.get("/api/pipeline").status_code == 200  # another session of the same token
        client.cookies.clear()
        answer = client.post("/login", data={"token": f"{secret}x"})
        assert answer.status_code == 401 and "No token is this one." in answer.text
        private = {"X-Forwarded-Proto": "https"}
        answer = client.post("/login", data={"token": secret}, headers=private)
        assert "Secure" in answer.headers["set-cookie"]


def test_tokens_cannot_be_guessed_at_the_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_GUESSES", (0.01, 10))
    with served(told(tmp_path, tokens=TOKENS)) as client:
        tried = [client.post("/login", data={"token": f"guess{n}"}) for n in range(11)]
        assert [one.status_code for one in tried] == [401] * 10 + [429]
        assert 50 <= int(tried[-1].headers["retry-after"]) <= 100


@pytest.mark.parametrize(
    ("to", "goes"),
    [
        ("/", "/"),
        ("/findings?state=firing#a", "/findings?state=firing#a"),
        *((bad, "/") for bad in (
            "", "//evil", "/\\evil", "\\\\evil", "https://evil", "evil", "/\t/evil", "/\n/evil",
            "/%0d%0aX: y\r\nSet-Cookie: a=b", "javascript:alert(1)", "/ü",
        )),
    ],
)  # fmt: skip
def test_the_way_on_is_a_place_of_ours(tmp_path: Path, to: str, goes: str) -> None:
    assert place(to) == goes


def test_a_session_opens_what_its_token_opens_until_it_ends(tmp_path: Path) -> None:
    keys = keys_of(told(tmp_path, tokens=TOKENS).server)
    session = keys.session("looker", 1000.0, "0a")
    assert session != keys.session("looker", 1000.0, "0b")
    assert keys.visitor(session, 1000.0) == ("looker", "read")
    assert keys.visitor(session, 1000.0 + SESSION_S) is None
    name, ends, mark, seal = session.split(".")
    for forged in (f"keeper.{ends}.{mark}.{seal}", f"{name}.{int(ends) + 9}.{mark}.{seal}",
                   f"{name}.{ends}.0b.{seal}", f"{name}.{ends}.{mark}.{seal[:-1]}ü",
                   f"{name}.²2.{mark}.{seal}", f"{name}.{ends}.{seal}", "...", ""):  # fmt: skip
        assert keys.visitor(forged, 1000.0) is None
    other = keys_of(told(tmp_path, tokens=TOKENS | {"looker": {
        "role": "read", "secret": "another-0123456789"}}).server)  # fmt: skip
    assert other.visitor(session, 1000.0) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "server.tokens.a.secret_file: cannot be read (FileNotFoundError)"),
        ("", "server.tokens.a.secret_file: its secret must have 16 characters or more"),
        ("x" * 15 + "\n", "server.tokens.a.secret_file: its secret must have 16"),
        ("geheim-ä-0123456789", "server.tokens.a.secret_file: its secret must be printable ASCII"),
        (TOKENS["keeper"]["secret"], "server.tokens.keeper: has the secret of a"),
    ],
)
def test_a_token_that_cannot_be_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    tokens = {"a": {"role": "read", "secret_file": file}, "keeper": TOKENS["keeper"]}
    with pytest.raises(BadConfig) as refused:
        keys_of(told(tmp_path, tokens=tokens).server)
    assert str(refused.value).startswith(said)
