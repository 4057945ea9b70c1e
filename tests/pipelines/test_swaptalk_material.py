"""Which videos `swaptalk` makes a template of, and what it says of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

pytest.importorskip("mediapipe")

from benchmarks.service.signals import write_wav
from pipelines.photo.errors import EnrolmentError
from pipelines.pipeline import FPS, Material, QuietProgress
from pipelines.swaptalk.enrol import enrol
from pipelines.swaptalk.template import Template, make_template, of_video
from tests.support.damage import cut
from tests.support.echo_faces import EchoFaces
from tests.support.videos import SIZE, drawn_clip, write_clip

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

GREY = 110


def fading(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """They go to grey; no cut."""
    shares = np.linspace(0.0, 1.0, len(pictures))
    faded = zip(pictures, shares, strict=True)
    return [(p * (1.0 - share) + GREY * share).astype(np.uint8) for p, share in faded]


def without_face(seconds: float) -> Callable[[Path], object]:
    """In the middle of a video there is nobody for so long, and a little longer."""

    def write(path: Path) -> None:
        shown = drawn_clip().pictures
        nobody = [np.full((SIZE, SIZE, 3), GREY, np.uint8)] * round(seconds * FPS)
        away, back = fading(shown[24:36]), fading(shown[36:48])[::-1]
        write_clip(path, [*shown[:24], *away, *nobody, *back, *shown[36:60]])

    return write


def two_faces(path: Path) -> None:
    write_clip(path, [np.hstack([picture, picture]) for picture in drawn_clip().pictures[:55]])


def cut_scenes(path: Path) -> None:
    shown = drawn_clip().pictures
    other = [np.roll(picture, 100, axis=1)[:, :, ::-1] for picture in shown[20:60]]
    write_clip(path, [*shown[:20], *other])


def too_short(path: Path) -> None:
    write_clip(path, drawn_clip().pictures[:40])


def too_long(path: Path) -> None:
    blank = [np.full((64, 64, 3), GREY, np.uint8)] * 63
    write_clip(path, blank, times_s=list(range(63)))


def sound_in_a_video_file(path: Path) -> None:
    with av.open(path, "w", format="mp4") as out:
        track = out.add_stream("aac", rate=16_000, layout="mono")
        part = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), "s16", "mono")
        part.sample_rate = 16_000
        out.mux(track.encode(part))
        out.mux(track.encode())


def sound_file(path: Path) -> None:
    wave = write_wav(path.with_suffix(".wav"), np.zeros(48_000, np.float32))
    wave.rename(path)


def truncated(path: Path) -> None:
    write_clip(path, drawn_clip().pictures)
    cut(path, 0.8)


@pytest.mark.parametrize(
    ("write", "code", "words"),
    [
        (without_face(1.2), "no_face", "No face is seen at 1."),
        (two_faces, "several_faces", "2 faces are seen at 0.0 s"),
        (cut_scenes, "video_cut", "The video is cut at 0.8 s"),
        (too_short, "video_too_short", "lasts only 1.6 s; at least 2 s"),
        (too_long, "video_too_long", "at most 60 s"),
        (sound_in_a_video_file, "not_a_video", "sound but no picture"),
        (sound_file, "not_a_video", "not a video"),
        (truncated, "not_a_video", "damaged or cut off"),
    ],
)
def test_a_video_that_cannot_be_used_is_refused_in_words(
    tmp_path: Path, write: Callable[[Path], object], code: str, words: str
) -> None:
    video = tmp_path / "me.mp4"
    write(video)
    with pytest.raises(EnrolmentError) as caught:
        enrol(Material(video=video), EchoFaces(), "e" * 64, QuietProgress(tmp_path))
    assert caught.value.code == code
    assert words in str(caught.value)


def test_a_face_that_is_never_seen_for_long_is_refused_in_words(tmp_path: Path) -> None:
    without_face(0.4)(tmp_path / "me.mp4")
    with pytest.raises(EnrolmentError, match=r"For 1\.5 s in a row the whole face") as caught:
        template_of(tmp_path / "me.mp4")
    assert caught.value.code == "no_face"


def template_of(video: Path) -> Template:
    pictures, size = of_video(video)
    return make_template(pictures, size, QuietProgress(video.parent), 75)


@pytest.mark.parametrize("rate", ["60", "24", "varies"])
def test_any_rate_of_pictures_becomes_25_a_second(tmp_path: Path, rate: str) -> None:
    shown = drawn_clip().pictures
    seconds = len(shown) / FPS
    if rate == "varies":
        gaps = np.random.default_rng(0).uniform(0.01, 0.055, 200)
        times = np.concatenate([[0.0], np.cumsum(gaps)])
    else:
        times = np.arange(200) / float(rate)
    times = times[times < seconds - 0.02]
    held = [shown[min(int(time * FPS + 0.5), len(shown) - 1)] for time in times]
    video = write_clip(tmp_path / "me.mp4", held, times_s=list(times))
    found = template_of(video)
    assert found.clip.size == (SIZE, SIZE)
    assert len(shown) - 2 * FPS <= len(found) <= len(shown)
    width = np.linalg.norm(found.places[:, :, 0], axis=1)
    assert width.max() < 1.1 * width.min()
