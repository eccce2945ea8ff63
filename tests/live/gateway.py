"""LiteLLM's proxy as a process of its own, before an upstream of ours."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from deploy.local.child import Child, await_ready, free_port
from tests.conftest import named

_MASTER = f"sk-{'0123456789abcdef' * 2}"  # the proxy starts with none no more
_QUIET = ("HF_HUB_OFFLINE=1", "LITELLM_LOCAL_MODEL_COST_MAP=True",
          "DEFAULT_FLUSH_INTERVAL_SECONDS=1")  # fmt: skip


class Gateway:
    """A proxy that answers at `url` for the model `support`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, **more: Any) -> httpx.Response:
        """One chat of a client; a stream is read to its end."""
        asked = {"model": "support", "messages": [{"role": "user", "content": "Why?"}]} | more
        master = {"Authorization": f"Bearer {_MASTER}"}
        return httpx.post(f"{self.url}/v1/chat/completions", json=asked, headers=master, timeout=60)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/liveliness", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False


def litellm_command() -> str:
    """LiteLLM's command, installed beside our environment: what it pins is not what we pin."""
    return named("LITELLM_BIN", "litellm")


@contextmanager
def gateway(folder: Path, upstream: str, **told: Any) -> Iterator[Gateway]:
    """A proxy whose configuration and modules lie in `folder`; skips where there is no LiteLLM."""
    command, port = litellm_command(), free_port()
    model = {"model": "hosted_vllm/acme/m-8b", "api_base": upstream, "api_key": "none"}
    config = {
        "model_list": [{"model_name": "support", "litellm_params": model}],
        "general_settings": {"master_key": _MASTER},
    } | told
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    words = [command, "--config", "config.yaml", "--port", str(port), "--host", "127.0.0.1"]
    proxy = Child(["/usr/bin/env", *_QUIET, *words], folder)
    started = Gateway(f"http://127.0.0.1:{port}")
    await_ready(proxy, started.answers, "litellm")
    try:
        yield started
    finally:
        proxy.end(signal.SIGTERM)
