"""A server process, of any pipeline, and real Chromium with a WAV file as its microphone."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil

from pipelines.registry import known_systems

CHECKOUT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
)


def add_pipeline(parser: argparse.ArgumentParser) -> None:
    """Let the command line choose what the server runs."""
    parser.add_argument("--pipeline", default=known_systems()[0], choices=known_systems())
    parser.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", help="of the pipeline"
    )


def pipeline_flags(args: argparse.Namespace) -> tuple[str, ...]:
    """The same choice for `vivavoce serve`."""
    settings = [word for setting in args.set for word in ("--set", setting)]
    return ("--pipeline", args.pipeline, *settings)


def result_name(suite: str, args: argparse.Namespace, *more: str) -> str:
    """A results file for each pipeline and choice of its options."""
    chosen = [re.sub(r"[^\w.-]+", "-", setting) for setting in args.set]
    return "_".join([suite, args.pipeline, *chosen, *more])


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """`vivavoce serve` on a free port of this machine, of this checkout or of another one."""

    def __init__(
        self, data_dir: Path, *flags: str, log: Path | None = None, checkout: Path = CHECKOUT
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = log or data_dir / "server.log"
        data_dir.mkdir(parents=True, exist_ok=True)
        self._log = self.log_path.open("w")
        path = [str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
        command = [sys.executable, "-m", "realtime.cli", "serve", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--data-dir", str(data_dir), *flags],
            stderr=self._log,
            stdout=self._log,
            cwd=checkout,
            env=os.environ | {"GLOG_minloglevel": "2", "PYTHONPATH": os.pathsep.join(path)},
        )

    def wait_ready(self, timeout_s: float = 300) -> None:
        """Wait until `/ready` says yes, and until the cast is prepared: what is measured then has
        the machine to itself.

        Raises:
            RuntimeError: the process ended, or the time is over; with the log.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(self.url + "/ready", timeout=2).close()
                with urllib.request.urlopen(self.url + "/health", timeout=2) as health:
                    if not json.load(health).get("cast_to_prepare"):  # older servers: before
                        return
            time.sleep(0.2)
        raise RuntimeError("the server did not become ready:\n" + self.log_path.read_text()[-4000:])

    def family(self) -> list[psutil.Process]:
        """The server and its inference process."""
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def cpu_s(self) -> float:
        """CPU seconds used so far, both processes."""
        return sum(sum(p.cpu_times()[:2]) for p in self.family())

    def memory_mb(self) -> dict[str, float]:
        """Resident memory of each process, and of both less what they share (PSS), in MB."""
        family = self.family()
        resident = [p.memory_info().rss / 1e6 for p in family]
        together = sum(p.memory_full_info().pss for p in family) / 1e6
        return {
            "server": round(resident[0]),
            "inference": round(sum(resident[1:])),
            "together": round(together),
        }

    def stop(self, timeout_s: float = 30) -> int:
        """SIGTERM, then wait; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self._log.close()
        return self.process.returncode


@contextlib.contextmanager
def server(data_dir: Path, *flags: str, checkout: Path = CHECKOUT) -> Iterator[ServerProcess]:
    """A ready server, stopped at the end."""
    process = ServerProcess(data_dir, *flags, checkout=checkout)
    try:
        process.wait_ready()
        yield process
    finally:
        process.stop()


@contextlib.contextmanager
def chromium(microphone: Path | None, *flags: str):  # type: ignore[no-untyped-def]
    """A Playwright browser (Debian's Chromium) that hears `microphone` in a loop."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        raise RuntimeError("no Chromium here; install it with: apt-get install chromium")
    args = [*FLAGS, *flags]
    if microphone is not None:
        args.append(f"--use-file-for-fake-audio-capture={microphone}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=args, timeout=120_000)
        try:
            yield browser
        finally:
            browser.close()


def hold_head_still(page) -> None:  # type: ignore[no-untyped-def]
    """Turn head motion, gaze and blinks off by the page's sliders, so that only lips move; where
    there are none, of a template's own head, it goes on."""
    page.wait_for_selector("#controls input")
    names = [
        name
        for name in ("head_motion", "gaze", "blink_rate")
        if page.query_selector(f"#control-{name}") is not None
    ]
    if not names:
        return
    for name in names:
        page.eval_on_selector(
            f"#control-{name}",
            """(slider) => {
                 slider.value = 0;
                 slider.dispatchEvent(new Event("input", { bubbles: true }));
                 slider.dispatchEvent(new Event("change", { bubbles: true }));
               }""",
        )
    page.wait_for_function(
        "(names) => window.vivavoce.events.some((e) => e.type === 'session.updated' "
        "&& names.every((name) => e.session.controls[name] === 0))",
        arg=names,
    )
