"""Picture against voice of pushed speech in a receiver that is not ours: Chromium, by WHEP.

`python -m benchmarks.service.pushed --browser`: clicks and vowels are pushed ten times as fast as
they are spoken; the page tells, by the browser's own clock, how far apart its sound and picture
are, and when the mouth opens against the sound.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
from websockets.sync.client import ClientConnection, connect

from benchmarks.service.browser import ServerProcess, chromium
from benchmarks.service.latency import PROBE, mouth_against_voice_ms, openness
from benchmarks.service.signals import clicks_and_vowels
from benchmarks.timing import spread

RATE_HZ = 48_000
PIECE = RATE_HZ * 2 // 5  # samples pushed each 40 ms: ten times as fast as they are spoken
STILL = {"head_motion": 0.0, "gaze": 0.0, "blink_rate": 0.0}
"""So that only lips move."""


def measure(process: ServerProcess, seconds: float) -> dict[str, Any]:
    """Speak to a page for so long."""
    body = json.dumps({"audio": "push", "rate": RATE_HZ}).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{process.url}/v1/sessions", body, headers)
    with urllib.request.urlopen(request) as answer:
        session = json.load(answer)["id"]
    address = f"ws{process.url[4:]}/v1/sessions/{session}/audio?rate={RATE_HZ}"
    with connect(address, max_size=None) as socket, chromium(None) as browser:
        socket.send(json.dumps({"type": "session.update", "controls": STILL}))
        page = browser.new_page(bypass_csp=True)
        page.add_init_script(path=PROBE)
        page.goto(f"{process.url}/?view={session}")
        page.wait_for_function("window.vivavoce?.state === 'live'", timeout=60_000)
        with speaking(socket):
            page.wait_for_timeout(5_000)  # the page settles
            page.evaluate("window.__probe.start(document.querySelector('#avatar-video'))")
            page.wait_for_timeout(seconds * 1000)
            probe = page.evaluate(
                "(({returned, mouth, skew}) => ({returned, mouth, skew}))(window.__probe)"
            )
        where = f"{process.url}/v1/sessions/{session}"
        said = json.load(urllib.request.urlopen(where))["measurements"]
    return figures(probe["mouth"], probe["returned"]) | {
        "seconds": seconds,
        "skew_ms": spread(probe["skew"][10:]),
        "server": said,
        "load_average": os.getloadavg()[0],
    }


def figures(mouth: list[list[Any]], onsets: list[float]) -> dict[str, Any]:
    """Of what a page saw and heard, in its own time: when the mouth opens, less the sound's."""
    times, opened = openness(mouth)
    return {
        "pictures_per_s": round(float((len(times) - 1) / (times[-1] - times[0])), 2),
        "onsets": len(onsets),
        "mouth_minus_voice_ms": spread(mouth_against_voice_ms(times, opened, onsets)),
    }


@contextlib.contextmanager
def speaking(socket: ClientConnection) -> Iterator[None]:
    """Utterance after utterance meanwhile, each when the one before was heard."""
    sound = np.round(clicks_and_vowels(2) * 32_767).astype("<i2")
    over = threading.Event()

    def speak() -> None:
        while not over.is_set():
            for at in range(0, len(sound), PIECE):
                socket.send(sound[at : at + PIECE].tobytes())
                time.sleep(0.04)
            socket.send('{"type": "input_audio_buffer.commit"}')
            while json.loads(socket.recv())["type"] != "output_audio_buffer.stopped":
                pass
            over.wait(0.5)

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
