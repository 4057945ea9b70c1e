"""Recordings that the page makes: how long they are, where one can jump in them, what they say."""

import base64
import io
import urllib.request

import av
import numpy as np
import pytest

from realtime.sinks.mp4 import MARK
from tests.support.pages import MARKS, serving, start, stop

pytestmark = MARKS

SECONDS = 12
"""Long enough for a second key frame: one comes after ten seconds."""
NEAR_S = 2 / 25
"""Of durations and places: two pictures."""
ALIKE = 6.0
"""Mean grey levels between what two decoders make of one picture."""
SEEK = """async ([bytes, places]) => {
  const video = document.createElement("video");
  video.muted = true;
  const picture = () => new Promise((done) =>
    video.requestVideoFrameCallback((_, { mediaTime }) => done(mediaTime)));
  const failure = new Promise((_, failed) => {
    video.onerror = () => failed(new Error(video.error.message));
  });
  const first = picture();
  video.src = URL.createObjectURL(new Blob([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))]));
  await Promise.race([first, failure]);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const context = canvas.getContext("2d");
  const shown = [];
  for (const place of places) {
    const next = picture();
    video.currentTime = place * video.duration;
    const time = await Promise.race([next, failure]);
    context.drawImage(video, 0, 0, 64, 64);
    const { data } = context.getImageData(0, 0, 64, 64);
    shown.push({ time, red: [...data].filter((_, i) => i % 4 === 0) });
  }
  return { duration: video.duration, shown };
}"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server")) as process:
        yield process


def downloaded(page, act) -> bytes:
    """The file that the page gives when something is done."""
    with page.expect_download() as waiting:
        act()
    download = waiting.value
    assert download.suggested_filename.startswith("AI avatar ")
    return download.path().read_bytes()


def record(page, seconds: int = SECONDS) -> tuple[bytes, str]:
    """Record a session that runs, by its button: the file, and what the page says of it."""
    page.click("#record")
    page.wait_for_function(
        f"document.querySelector('#recording-time').textContent >= '0:{seconds:02}'"
    )
    file = downloaded(page, lambda: page.click("#record"))
    page.wait_for_selector(".toast >> text=Saved")
    return file, page.inner_text(".toast >> text=Saved")


def check(page, file: bytes) -> dict[float, np.ndarray]:
    """Its length is that of what is in it; everywhere one jumps to, the picture of that place
    is there. Its pictures in grey, by their time in seconds."""
    with av.open(io.BytesIO(file)) as container:
        assert container.duration is not None
        duration_s = container.duration / av.time_base
        packets = [(p.stream.type, float(p.pts * p.time_base)) for p in container.demux() if p.size]
    ends = {kind: max(time for of, time in packets if of == kind) for kind in ("audio", "video")}
    assert max(ends.values()) < duration_s < max(ends.values()) + NEAR_S
    with av.open(io.BytesIO(file)) as container:
        pictures = {
            float(p.time): p.reformat(64, 64, "rgb24").to_ndarray()[..., 0].astype(np.float32)
            for p in container.decode(video=0)
        }
    places = [0.5, 0.9, 0.1, 0]
    seen = page.evaluate(SEEK, [base64.b64encode(file).decode(), places])
    assert seen["duration"] == pytest.approx(duration_s, abs=0.002)
    times = np.array(list(pictures))
    for place, shown in zip(places, seen["shown"], strict=True):
        at = min(times, key=lambda time: abs(time - shown["time"]))
        assert at == pytest.approx(shown["time"], abs=0.002)
        # the picture that is due there, or the one before: whoever counts in microseconds and who
        # in milliseconds may differ about a picture that begins just there
        due = times[times <= max(place * duration_s, times[0])][-2:]
        assert at in due
        red = np.array(shown["red"], np.float32).reshape(64, 64)
        assert np.abs(red - pictures[at]).mean() < ALIKE
    return pictures


def test_a_session_is_recorded_whole(page):
    start(page)
    file, said = record(page)
    assert said.endswith(".webm”")
    pictures = check(page, file)
    assert len(pictures) > SECONDS  # several a second, on any machine
    with av.open(io.BytesIO(file)) as container:
        assert container.metadata["COMMENT"] == MARK
        assert {stream.codec_context.name for stream in container.streams} == {"vp8", "opus"}
    stop(page)


def test_a_recording_is_saved_when_its_session_ends(page, running):
    session = start(page)
    page.click("#record")
    page.wait_for_function("document.querySelector('#recording-time').textContent >= '0:03'")
    request = urllib.request.Request(f"{running.url}/v1/sessions/{session}", method="DELETE")
    file = downloaded(page, lambda: urllib.request.urlopen(request, timeout=60).close())
    check(page, file)


def test_what_had_come_is_saved_when_the_server_does_not_say_how_it_ends(page):
    page.evaluate("WebSocket.prototype.send = () => {}")
    start(page)
    file, said = record(page, seconds=4)
    assert "Players may not know how long it is" in said
    with av.open(io.BytesIO(file)) as container:
        assert container.duration is None
        assert sum(1 for _ in container.decode(video=0)) > 0
    stop(page)
