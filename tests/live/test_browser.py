"""The pages in a real browser: seen, read aloud, driven by keys, and kept up to date."""

import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # has no stubs
from playwright.sync_api import Browser, Page, expect, sync_playwright

from agent.config import Config
from agent.score import Panel, load_panel
from agent.store import Store, open_store
from consumers.server.process import bound
from consumers.server.views import VIEWS
from consumers.service import watch_records
from deploy.local.child import Unavailable
from tests.conftest import absent
from tests.serving import made
from tests.shown import START, copied

SEEN = (
    ("/?service=assistant&metric=latency", "a metric over time"),
    ("/calls?id=sim-5-1", "a call"),
    ("/calls?metric=response_repetition", "pairs"),
    ("/evaluations?run=support%232&beside=support%231", "two runs"),
)
# What a reader with a screen reader or weak eyes cannot get past.
BARRED = ("serious", "critical")
Scheme = Literal["light", "dark"]


@dataclass(frozen=True)
class Site:
    """A server in this process, and the store that it shows."""

    url: str
    config: Config
    store: Store
    panel: Panel


@pytest.fixture(scope="module")
def site(shown: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    config = copied(shown, folder, server={"port": 0, "refresh_s": 0.1})
    store = open_store(config.store.url.get_secret_value())
    with made(config, store) as app:
        listener = bound(config)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            yield Site(url, config, store, load_panel(config))
        finally:
            server.should_exit = True
            thread.join()
            listener.close()
    store.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        absent(Unavailable("no chromium on the path: the pages were not looked at"))
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def _open(browser: Browser, width: int = 1280, scheme: Scheme = "light") -> tuple[Page, list[str]]:
    """A page that remembers what its console said."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, said = context.new_page(), list[str]()
    page.on("console", lambda message: said.append(f"{page.url}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"{page.url}: {error}"))
    page.set_default_timeout(10_000)
    return page, said


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_page_can_be_read(site: Site, browser: Browser, width: int, scheme: Scheme) -> None:
    page, bad = _open(browser, width, scheme)
    for path in (*(view.path for view in VIEWS), *(path for path, _ in SEEN)):
        answer = page.goto(f"{site.url}{path}")
        assert answer is not None and answer.status == 200, path
        # A reader may have opened what is folded.
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        beyond = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        bad += [f"{path}: {beyond} px wider than the window"] if beyond > 0 else []
        for one in Axe().run(page).response["violations"]:
            if one["impact"] in BARRED:
                where = [node["target"] for node in one["nodes"][:2]]
                bad.append(f"{path}: {one['id']}: {one['help']}, {where}")
    page.context.close()
    assert bad == []


def test_keys_lead_everywhere(site: Site, browser: Browser) -> None:
    page, bad = _open(browser)
    page.goto(f"{site.url}/pipeline")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Calls":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/calls")
    expect(page.get_by_role("heading", level=1)).to_have_text("Calls")
    assert page.locator("nav [aria-current=page]").text_content() == "Calls"
    page.context.close()
    assert bad == []


def test_a_choice_is_kept_in_the_address_and_going_back_undoes_it(
    site: Site, browser: Browser
) -> None:
    page, bad = _open(browser, 390)
    page.goto(f"{site.url}/calls")
    page.get_by_label("Metric").select_option("latency")
    page.wait_for_url("**metric=latency**")
    page.get_by_label("Model").select_option("finch-7b")
    page.wait_for_url("**model=finch-7b**")
    assert "metric=latency" in page.url and "service=" not in page.url
    expect(page.get_by_label("Metric")).to_have_value("latency")
    expect(page.get_by_role("heading", level=2).first).to_have_text("Worst by latency")
    page.go_back()
    expect(page.get_by_label("Model")).to_have_value("")
    assert "model" not in page.url
    page.get_by_role("link", name=re.compile("^sim-5-")).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^sim-5-"))
    page.context.close()
    assert bad == []


def test_what_is_new_comes_without_loading_the_page_again(site: Site, browser: Browser) -> None:
    page, bad = _open(browser)
    page.clock.install()
    page.goto(f"{site.url}/calls?metric=latency")
    page.evaluate("window.kept = 1")
    _refresh(page)  # what stands there first is asked for once, with its tag
    watch_records(site.config, site.store, site.panel, [(time.time(), _slow())])
    _refresh(page)
    expect(page.get_by_role("link", name="brand-new")).to_be_visible()
    assert page.evaluate("window.kept") == 1
    assert bad == []
    page.route("**/calls?*", lambda route: route.fulfill(status=503, body="{}"))
    _refresh(page)
    expect(page.get_by_role("status")).to_contain_text("may be old")
    page.context.close()


def _refresh(page: Page) -> None:
    with page.expect_response("**/calls?*"):
        page.clock.run_for(5_000)


def test_what_an_alert_links_to_is_shown_beyond_the_list(site: Site, browser: Browser) -> None:
    page, bad = _open(browser)
    page.goto(f"{site.url}/findings")
    key = page.locator("article.found").last.get_attribute("id")
    page.goto(f"{site.url}/findings?limit=1#{key}")
    page.wait_for_url(f"**key={key}**")
    expect(page.locator("article.found")).to_have_count(1)
    assert page.locator("article.found").get_attribute("id") == key
    page.context.close()
    assert bad == []


def _slow() -> bytes:
    call: dict[str, Any] = {
        "id": "brand-new", "at": START + 86_300, "service": "assistant", "model": "wren-large",
        "prompt": "Why?", "response": "Because.", "latency_s": 95.0,
    }  # fmt: skip
    return json.dumps(call).encode()
