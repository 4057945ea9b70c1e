"""Another site than the server's, whose page has `<vivavoce-avatar>` in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.pages import PATIENCE_S, wait_until_empty

PAGE = """<!doctype html><meta charset="utf-8"><title>Somebody's page</title>
<script type="module" src="{server}/client/vivavoce.js"></script>
<vivavoce-avatar {attributes}></vivavoce-avatar>"""
ELEMENT = "document.querySelector('vivavoce-avatar')"


class Site(ThreadingHTTPServer):
    """Another site, on a port of its own: one page, with whatever is in it now.

    A page that only Playwright knows will not do: Chromium lets none but local ones ask a server on
    this machine.
    """

    page = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    """The site's page."""

    server: Site

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.server.page.encode())

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@contextmanager
def served() -> Iterator[Site]:
    """The site, while it is asked for."""
    with Site() as site:
        serving_it = threading.Thread(target=site.serve_forever)
        serving_it.start()
        yield site
        site.shutdown()
        serving_it.join()


@contextmanager
def embedded(browser, site: Site, running, attributes: str, first: str = "") -> Iterator:
    """That site's page with the element in it; `first` is run before anything of the page."""
    site.page = PAGE.format(server=running.url, attributes=attributes)
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_S * 1000)
    page.add_init_script(first)
    page.goto(site.url)
    page.wait_for_function("customElements.get('vivavoce-avatar') !== undefined")
    yield page
    page.close()
    wait_until_empty(running)
