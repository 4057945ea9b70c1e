"""Chromium with the browser extension, and a page that behaves like a call."""

from __future__ import annotations

import functools
import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.service.browser import CHECKOUT, CHROMIUM, FLAGS

EXTENSION = CHECKOUT / "integrations" / "extension"
PAGES = Path(__file__).parent / "call_page"
PATIENCE_S = 240
"""Only what never happens takes as long."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def call_site() -> Iterator[str]:
    """The call's page; its host is not the server's, nor is its port."""
    handler = functools.partial(Quiet, directory=str(PAGES))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield f"http://localhost:{site.server_port}"
        site.shutdown()


def installed(folder: Path) -> Path:
    """The extension, with the permissions given that a user gives by a press on the browser's own
    question, which nothing in a page can answer."""
    copy = Path(shutil.copytree(EXTENSION, folder / "extension"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["host_permissions"] += manifest.pop("optional_host_permissions")
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


@contextmanager
def extended_browser(folder: Path, microphone: Path) -> Iterator:
    """A browser context that has the extension, and hears `microphone` in a loop."""
    from playwright.sync_api import sync_playwright

    extension = installed(folder)
    args = [
        *FLAGS,
        f"--disable-extensions-except={extension}",
        f"--load-extension={extension}",
        f"--use-file-for-fake-audio-capture={microphone}",
    ]
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(folder / "profile"),
            executable_path=CHROMIUM,
            args=args,
            ignore_default_args=["--disable-extensions"],
            timeout=120_000,
            viewport={"width": 1280, "height": 800},
        )
        context.set_default_timeout(PATIENCE_S * 1000)
        try:
            yield context
        finally:
            context.close()


class Popup:
    """The extension's popup, in a tab of its own, about the call in another."""

    def __init__(self, context, call) -> None:  # type: ignore[no-untyped-def]
        workers = context.service_workers
        worker = workers[0] if workers else context.wait_for_event("serviceworker")
        self.id = worker.url.split("/")[2]
        tab = worker.evaluate(
            "async (url) => (await chrome.tabs.query({})).find((tab) => tab.url === url).id",
            call.url,
        )
        self.page = context.new_page()
        self.page.goto(f"chrome-extension://{self.id}/popup.html?tab={tab}")
        # Its script has come to its end: before that, a press would be lost.
        self.page.wait_for_selector("#status[data-kind]", state="attached")
        self.page.locator("#site-text").filter(has_text=re.compile(r"\S")).wait_for()

    def connect(self, server: str) -> str:
        """Set the server's address; what is said then."""
        self.page.fill("#server", server)
        self.page.click("#connect button")
        # Its policy forbids what wait_for_function would evaluate.
        self.page.wait_for_selector('#status[data-kind]:not([data-kind=""])', state="attached")
        return str(self.page.inner_text("#status"))

    def allow(self) -> None:
        """Let the site use the avatar, or no more; its page is loaded anew."""
        said = self.page.inner_text("#site-text")
        self.page.click("#site-button")
        self.page.locator("#site-text").filter(has_not_text=said).wait_for()
