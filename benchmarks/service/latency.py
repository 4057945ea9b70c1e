"""Latency and sync in real Chromium: the product page, a WAV of clicks and vowels as microphone.

    python -m benchmarks.service.latency [--pipeline P] [--seconds 60] [--sessions 1] [--size H]

The first session is a page in Chromium; further ones are aiortc peers, since a second page would
measure the browser's appetite instead of the server's. Of the page: frames per second, how many of
them are new pictures, and freezes; the server's added delay; A/V skew by the receiver's own clock
(estimatedPlayoutTimestamp); and from what the page hears and sees, the time from a sound entering
the microphone to its return, and of the mouth's opening against it. Last, where that time goes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.service.browser import (
    add_pipeline,
    chromium,
    hold_head_still,
    pipeline_flags,
    result_name,
    server,
)
from benchmarks.service.signals import clicks_and_vowels, write_wav
from benchmarks.timing import quantiles, write_result
from pipelines.photo.framing import choose_size
from pipelines.registry import find_system
from realtime.media import HOP_S, SAMPLE_RATE_HZ

PROBE = Path(__file__).parent / "probe.js"


def openness(mouth: list[list[Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Times, and how far the mouth's picture is from its resting state (mean grey levels)."""
    times = np.array([t for t, _ in mouth])
    grey = np.array([g for _, g in mouth], dtype=np.float32)
    rest = np.median(grey, axis=0)
    return times, np.abs(grey - rest).mean(axis=1)


def mouth_against_voice_ms(times: np.ndarray, opened: np.ndarray, onsets: list[float]) -> list:
    """For every returned onset, when the mouth had opened a quarter of the way, in ms."""
    delays = []
    for onset in onsets:
        near = (times > onset - 0.35) & (times < onset + 0.45)
        before = (times > onset - 0.35) & (times < onset - 0.15)
        if near.sum() < 10 or before.sum() < 3:
            continue
        low, high = np.median(opened[before]), opened[near].max()
        crossed = times[near][opened[near] > low + 0.25 * (high - low)]
        if high > 2 * low and len(crossed):
            delays.append((crossed[0] - onset) * 1000)
    return delays


def pair_ms(heard: list[float], returned: list[float]) -> list[float]:
    """Return time of each onset that came back within a second, in ms."""
    out = []
    for onset in heard:
        later = [t - onset for t in returned if 0 < t - onset < 1.0]
        if later:
            out.append(min(later) * 1000)
    return out


def server_figures(url: str, session_id: str) -> dict[str, Any]:
    """What the server says of a session."""
    with urllib.request.urlopen(f"{url}/v1/sessions/{session_id}") as answer:
        return dict(json.load(answer)["measurements"])


def measure(page: Any, now: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """One running session's figures, from what the page and the server wrote down.

    now, before: `server_figures` at the end and the beginning of the probe.
    """
    probe = page.evaluate(
        "(({heard, returned, mouth, skew}) => ({heard, returned, mouth, skew}))(window.__probe)"
    )
    counters = page.evaluate("window.__probe.counters()")
    video = counters["video"]
    times, opened = openness(probe["mouth"])
    skew = np.array(probe["skew"][10:])
    seconds = times[-1] - times[0]
    fps, repeated = (len(times) - 1) / seconds, now["repeated"] - before["repeated"]
    return {
        "fps": round(fps, 2),
        "new_pictures_per_s": round(fps - repeated / seconds, 2),
        "freezes": video.get("freezeCount", 0),
        "frames_dropped": video.get("framesDropped", 0),
        "codec": page.evaluate("window.vivavoce.stats().then(s => s.codec)"),
        "added_delay_p95_ms": now["added_delay_ms"],
        "playout_delay_ms": now["playout_delay_ms"],
        "late": now["late"],
        "repeated": now["repeated"],
        "rung": now["rung"],
        "step_ms": now["step_ms"],
        "skew_mean_ms": round(float(skew.mean()), 1),
        "skew_p1_ms": round(float(np.percentile(skew, 1)), 1),
        "skew_p99_ms": round(float(np.percentile(skew, 99)), 1),
        "microphone_to_voice_ms": quantiles(pair_ms(probe["heard"], probe["returned"])),
        "mouth_minus_voice_ms": quantiles(mouth_against_voice_ms(times, opened, probe["returned"])),
        "mouth_moves": round(float(np.percentile(opened, 95) / max(0.1, np.median(opened))), 1),
    }


def look_ahead_ms(pipeline: str) -> float:
    """What a pipeline hears of what follows a frame before it draws it."""
    from pipelines.composed import look_ahead_of  # and PyTorch

    system: Any = find_system(pipeline)
    motion, _ = system.motion_to_export(system.Options())
    return float(look_ahead_of(motion.features(), motion) / SAMPLE_RATE_HZ * 1000)


def stages(url: str) -> dict[str, np.ndarray]:
    """Of each stage of a frame, how many there were and their milliseconds together."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        page = answer.read().decode()
    pattern = r'vivavoce_stage_milliseconds_(count|sum)\{stage="(\w+)"\} (\S+)'
    found: dict[str, dict[str, float]] = {}
    for part, stage, value in re.findall(pattern, page):
        found.setdefault(stage, {})[part] = float(value)
    return {stage: np.array([one["count"], one["sum"]]) for stage, one in found.items()}


def where_ms(
    pipeline: str, measured: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> dict[str, float]:
    """From a sound at the microphone to the picture of it, in order, and what is kept for what may
    be late; before, after: `stages`. Together they are the way of the voice, which leaves with it.
    """
    took = {name: (after[name] - before[name]) for name in after}
    mean = {name: float(total / max(1.0, count)) for name, (count, total) in took.items()}
    ahead, hop = look_ahead_ms(pipeline), 1000 * HOP_S
    playout = measured["playout_delay_ms"]
    return {
        "hop until it is whole": hop,
        "look-ahead": ahead,
        "wait for the engine": round(mean["wait"], 1),
        "step": round(mean["step"], 1),
        "kept for late packets and steps": round(
            playout - hop - ahead - mean["wait"] - mean["step"], 1
        ),
        "encoding": round(mean["encode"], 1),
        "browser: microphone, both ways, speaker": round(
            measured["microphone_to_voice_ms"]["p50"] - playout - mean["encode"], 1
        ),
    }


@contextlib.contextmanager
def crowd(url: str, count: int) -> Iterator[None]:
    """`count` aiortc peers that talk to the server meanwhile, in a process of their own."""
    command = [sys.executable, "-m", "benchmarks.service.sessions", "--join", url, str(count)]
    process = subprocess.Popen(command) if count else None
    try:
        yield
    finally:
        if process is not None:
            process.terminate()
            process.wait(20)


def run(
    pipeline: str, sessions: int, size: str, seconds: float, flags: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Open a page and `sessions - 1` peers on a fresh server, and measure the page."""
    with tempfile.TemporaryDirectory() as folder:
        wav = write_wav(Path(folder) / "microphone.wav", clicks_and_vowels(40))
        data = Path.home() / ".cache" / "vivavoce-bench"
        with (
            server(data, "--size", size, *flags) as process,
            crowd(process.url, sessions - 1),
            chromium(wav) as browser,
        ):
            page = browser.new_page(viewport={"width": 1280, "height": 800}, bypass_csp=True)
            page.add_init_script(path=PROBE)
            page.goto(process.url)
            page.wait_for_function("window.vivavoce?.state === 'ready'")
            page.click("#start")
            page.wait_for_function("window.vivavoce.state === 'live'", timeout=20_000)
            first = page.evaluate("window.vivavoce.timings")
            hold_head_still(page)
            page.wait_for_timeout(5_000)  # the page and the delays settle
            page.evaluate("window.__probe.start(document.querySelector('#avatar-video'))")
            session = page.evaluate("window.vivavoce.sessionId")
            begun, passed = server_figures(process.url, session), stages(process.url)
            before, begin = process.cpu_s(), time.monotonic()
            page.wait_for_timeout(seconds * 1000)
            cpu = (process.cpu_s() - before) / (time.monotonic() - begin)
            measured = measure(page, server_figures(process.url, session), begun)
            return {
                "sessions": sessions,
                "size": size,
                "seconds": seconds,
                "server_cores_used": round(cpu, 3),
                "server_memory_mb": process.memory_mb(),
                "page_timings_ms": first,
                **measured,
                "where_ms": where_ms(pipeline, measured, passed, stages(process.url)),
            }


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_pipeline(parser)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1])
    parser.add_argument("--size", metavar="H|WxH", help="default the pipeline's largest")
    parser.add_argument("--codec", choices=("auto", "VP8", "H264"), default="auto")
    args = parser.parse_args(argv)
    results = []
    width, height = choose_size(find_system(args.pipeline), args.size)
    for sessions in args.sessions:
        flags = (*pipeline_flags(args), "--video-codec", args.codec)
        result = run(args.pipeline, sessions, f"{width}x{height}", args.seconds, flags)
        print(json.dumps(result, indent=2))
        results.append(result)
    print(write_result(result_name("latency", args, str(height)), results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
