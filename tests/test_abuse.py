"""Who means harm: addresses, bodies and connections that are no use to anybody else."""

from pathlib import Path

import pytest

from consumers.server.access import role_for
from tests.serving import TOKENS, bearer, served, told


@pytest.mark.parametrize(
    "path", ["/livezzz", "/loginX", "/livez/../api/now", "/login/", "/logout/x", "/static"]
)
def test_only_what_is_listed_is_open(path: str) -> None:
    assert role_for("GET", path) == "read" and role_for("POST", path) == "admin"


def test_nobody_is_led_to_the_host_that_they_say_this_is(tmp_path: Path) -> None:
    with served(told(tmp_path, tokens=TOKENS)) as client:
        headers = bearer("looker") | {"Host": "evil.example"}
        assert client.get("/api/pipeline/", headers=headers).status_code == 404
        assert client.get("/livez/", headers=headers).status_code == 404


def test_a_body_whose_end_is_said_twice_is_refused(tmp_path: Path) -> None:
    with served(told(tmp_path)) as client:
        headers = {"Content-Length": "9", "Transfer-Encoding": "chunked"}
        answer = client.post("/evaluate", content=iter([b"{}"]), headers=headers)
        assert answer.status_code == 400 and answer.headers["connection"] == "close"


def test_a_name_is_known_in_any_letters(tmp_path: Path) -> None:
    with served(told(tmp_path, names=("Vedette.Example",))) as client:
        for host in ("vedette.example", "VEDETTE.example:8080"):
            assert client.get("/api/pipeline", headers={"Host": host}).status_code == 200
