"""Roles as a container runs them: first process, an unprivileged user, a read-only root."""

import time
from pathlib import Path

import httpx
import pytest
import yaml

from deploy import live
from deploy.local.child import Unavailable, free_port
from tests.confined import check, confined
from tests.conftest import absent
from tests.road import native


@pytest.fixture(autouse=True)
def _where_it_can_be_done() -> None:
    try:
        check()
    except Unavailable as why:
        absent(why)


def _write(folder: Path, **told: object) -> None:
    (folder / "vedette.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")


def test_a_server_scores_with_its_models_and_ends_when_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    _write(tmp_path, server={"port": port}, store={"url": "sqlite:////mnt/v.db"})
    with confined(tmp_path, "serve", "-c", "vedette.yaml") as server:
        server.await_words("pages on")
        url = f"http://127.0.0.1:{port}"
        assert httpx.post(f"{url}/ingest", json=native(1), timeout=60).json()["accepted"] == 1
        monkeypatch.setenv("LIVEZ", f"{url}/livez")
        monkeypatch.setattr(live, "_WAIT_S", 60.0)  # models are being loaded
        assert live.main() is None
        until = time.monotonic() + 150
        while 'outcome="scored"} 1.0' not in httpx.get(f"{url}/metrics", timeout=60).text:
            assert time.monotonic() < until, server.said()
            time.sleep(0.1)
        assert (server.stop(60), "Traceback" in server.said()) == (0, False)


def test_a_worker_that_waits_ends_when_told(tmp_path: Path) -> None:
    away = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    _write(tmp_path, store={"url": away}, exporter={"port": 0}, models=False)
    with confined(tmp_path, "run", "-c", "vedette.yaml") as worker:
        worker.await_words("not ready: database")
        assert worker.stop(15) == 143
