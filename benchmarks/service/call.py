"""Picture against voice in a call: what a page gets from `getUserMedia` with the browser extension.

    python -m benchmarks.service.call [--pipeline P] [--seconds 20] [--size H]

Chromium with the extension and a WAV of clicks and vowels as microphone opens a page that behaves
like a call. Of the tracks that it gets: when the mouth opens against the delayed voice, by one
clock of the page. The head moves, since a call has no controls: each opening is held against the
pictures just before it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.service.browser import add_pipeline, pipeline_flags, result_name, server
from benchmarks.service.extension import Popup, call_site, extended_browser
from benchmarks.service.signals import clicks_and_vowels, write_wav
from benchmarks.timing import spread, write_result


def measure(url: str, folder: Path, seconds: float) -> dict[str, Any]:
    """One call with the avatar of the server at `url`."""
    microphone = write_wav(folder / "microphone.wav", clicks_and_vowels(40))
    with call_site() as site, extended_browser(folder, microphone) as context:
        page = context.new_page()
        page.goto(f"{site}/call.html")
        page.wait_for_function("window.call")
        popup = Popup(context, page)
        said = popup.connect(url)
        if said != "Connected.":
            raise RuntimeError(f"the extension says: {said}")
        with page.expect_navigation():
            popup.allow()
        page.wait_for_function("window.call")
        page.bring_to_front()
        tracks = page.evaluate("call.open()")
        page.wait_for_timeout(5_000)  # the page and the delays settle
        page.evaluate("call.watch('#self')")
        page.wait_for_timeout(seconds * 1000)
        arrived = page.evaluate("call.arrived")
        page.evaluate("call.leave()")
    times = np.array([at for at, _ in arrived["mouth"]])
    grey = np.array([picture for _, picture in arrived["mouth"]], np.float32)
    return {
        "pictures_per_s": round(float((len(times) - 1) / np.ptp(times)), 2),
        "onsets": len(arrived["onsets"]),
        "mouth_minus_voice_ms": spread(openings_ms(times, grey, arrived["onsets"])),
        "seconds": seconds,
        "tracks": [track["label"] for track in tracks],
        "load_average": os.getloadavg()[0],
    }


def openings_ms(times: np.ndarray, grey: np.ndarray, onsets: list[float]) -> list[float]:
    """For every sound, when the mouth had opened a quarter of the way, less its onset, in ms.

    times [n], grey [n, pixels]: pictures of the mouth. Sounds in which it hardly moves more than
    the head alone are left out.
    """
    found = []
    for onset in onsets:
        before = (times > onset - 0.4) & (times < onset - 0.15)
        near = (times > onset - 0.15) & (times < onset + 0.45)
        if before.sum() < 3 or near.sum() < 5:
            continue
        moved = np.abs(grey - grey[before].mean(0)).mean(1)
        low, high = moved[before].max(), moved[near].max()
        if high > 2 * low:
            found.append((times[near][moved[near] > low + 0.25 * (high - low)][0] - onset) * 1000)
    return found


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_pipeline(parser)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--size", metavar="H|WxH", default="256")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        flags = (*pipeline_flags(args), "--size", args.size)
        with server(Path(folder) / "data", *flags) as process:
            result = measure(process.url, Path(folder), args.seconds)
    print(json.dumps(result, indent=2))
    print(write_result(result_name("call", args, args.size), result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
