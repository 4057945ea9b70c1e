"""Clients of others for browsers: made into one script, run in a blank page of the server's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.clients.environments import node_dir
from tests.support.pages import PATIENCE_S

HERE = Path(__file__).parent


def bundle(name: str, folder: Path) -> Path:
    """`tests/clients/web/NAME.mjs` and the packages that it imports, as one script in `folder`."""
    node, script = node_dir(), folder / f"{name}.js"
    made = subprocess.run(
        [
            node / "bin" / "node",
            node / "node_modules" / "esbuild" / "bin" / "esbuild",
            HERE / "web" / f"{name}.mjs",
            "--bundle",
            "--format=iife",
            f"--outfile={script}",
            "--log-level=error",
        ],
        env=os.environ | {"NODE_PATH": str(node / "node_modules")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert made.returncode == 0, made.stderr
    return script


@contextmanager
def blank_page(browser: Any, url: str, script: Path) -> Iterator[Any]:
    """A page of the server at `url` with nothing in it but `script`. Nothing in it may fail."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_S * 1000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    where = f"{url}/of-tests"
    page.route(where, lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    page.goto(where)
    page.add_script_tag(path=script)
    try:
        yield page
    finally:
        page.close()
    assert not problems
