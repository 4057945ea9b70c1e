"""Video files to pictures at 25 fps and sound: every container, every clock, and hostile ones."""

from __future__ import annotations

import struct
import weakref
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.photo.errors import EnrolmentError
from pipelines.photo.video import container
from pipelines.photo.video.container import TimedPicture, inspect, read_pictures
from pipelines.photo.video.sniff import VideoLimits, sniff
from pipelines.photo.video.sound import fit, read_sound, require_sound
from pipelines.photo.video.steady import steady
from pipelines.pipeline import FPS, SAMPLE_RATE_HZ
from tests.support.damage import cut, damage
from tests.support.videos import write_clip

SHORT = VideoLimits(shortest_s=0.0)
CLICK_S = 0.6


def numbered(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Pictures that are lighter by 8 from one to the next."""
    return [np.full((height, width, 3), 16 + 8 * n, np.uint8) for n in range(count)]


def levels(path: Path) -> list[int]:
    """Which of `numbered` each picture at 25 fps is."""
    shown = steady(read_pictures(path, SHORT))
    return [round((float(picture.pixels.mean()) - 16) / 8) for picture in shown]


def click(seconds: float = 1.0) -> np.ndarray:
    """Silence but for a click at `CLICK_S`."""
    sound = np.zeros(int(seconds * SAMPLE_RATE_HZ), np.float32)
    at = int(CLICK_S * SAMPLE_RATE_HZ)
    sound[at : at + 160] = 0.8
    return sound


def click_heard_s(sound: np.ndarray | None) -> float:
    assert sound is not None
    return float(np.argmax(np.abs(sound) > 0.3)) / SAMPLE_RATE_HZ


def refusal(path: Path, limits: VideoLimits = container.LIMITS) -> EnrolmentError:
    """What is said of a file that cannot be used, when it is read to its end."""

    def read() -> None:
        list(steady(read_pictures(path, limits)))
        read_sound(path, limits)

    with pytest.raises(EnrolmentError) as caught:
        read()
    return caught.value


@pytest.mark.parametrize(
    ("suffix", "codecs", "kind"),
    [
        ("mp4", ("libx264", "aac"), "mp4"),
        ("mov", ("mpeg4", "pcm_s16le"), "mp4"),
        ("webm", ("libvpx", "libopus"), "matroska"),
        ("mkv", ("libx264", "flac"), "matroska"),
        ("avi", ("mjpeg", "pcm_s16le"), "avi"),
    ],
)
def test_a_file_is_read_by_its_content_whatever_its_name(
    tmp_path: Path, suffix: str, codecs: tuple[str, str], kind: str
) -> None:
    clip = write_clip(tmp_path / f"clip.{suffix}", numbered(25), click(), codecs=codecs)
    misnamed = clip.rename(tmp_path / "notes.txt")
    facts = inspect(misnamed, SHORT)
    assert (facts.kind, facts.width, facts.height, facts.has_sound) == (kind, 64, 48, True)
    assert levels(misnamed) == list(range(25))
    assert click_heard_s(read_sound(misnamed, SHORT)) == pytest.approx(CLICK_S, abs=0.03)


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_pictures_are_turned_as_the_file_says(tmp_path: Path, rotation: int) -> None:
    upright = np.zeros((48, 64, 3), np.uint8)
    upright[:24] = (255, 0, 0)
    upright[24:, :32] = (0, 255, 0)
    stored = np.rot90(upright, -rotation // 90).copy()
    clip = write_clip(tmp_path / "clip.mp4", [stored] * 5, rotation=rotation)
    facts = inspect(clip, SHORT)
    assert (facts.width, facts.height) == (64, 48)
    picture = next(read_pictures(clip, SHORT)).pixels
    assert picture.shape == upright.shape
    assert np.abs(picture.astype(int) - upright).mean() < 12  # of 255: the codec's


def test_mirrored_pictures_are_mirrored_back() -> None:
    stored = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    frame = av.VideoFrame.from_ndarray(stored, "rgb24")
    shown = container.Display(mirrored_x=True).show(frame, 100)
    assert np.array_equal(shown, stored[:, ::-1])


def test_pixels_that_are_not_square_are_made_square(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(path, "w") as out:
        stream = out.add_stream("libx264", rate=25, width=60, height=48, pix_fmt="yuv420p")
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for picture in numbered(5, 60, 48):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode())
    assert next(read_pictures(path, SHORT)).pixels.shape == (48, 80, 3)
    assert inspect(path, SHORT).width == 80


def test_large_pictures_are_reduced(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", numbered(3, 640, 320))
    assert next(read_pictures(clip, SHORT, side=100)).pixels.shape == (50, 100, 3)


@given(st.lists(st.floats(0.001, 0.4), min_size=1, max_size=40))
def test_each_picture_at_25_fps_is_the_nearest_in_time(gaps: list[float]) -> None:
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    blank = np.zeros((1, 1, 3), np.uint8)
    shown = list(steady(TimedPicture(float(t), blank) for t in times))
    assert [one.number for one in shown] == list(range(len(shown)))
    assert abs(len(shown) - 1 - times[-1] * FPS) <= 0.51
    for one in shown:
        off = times - one.time_s
        assert abs(one.off_s) <= np.abs(off).min() + 2e-4
        assert np.abs(off - one.off_s).min() < 1e-9  # it was taken then
    sources = [one.time_s + one.off_s for one in shown]
    assert [one.fresh for one in shown] == [True, *(np.diff(sources) > 1e-9)]


@pytest.mark.parametrize("fps", [12.5, 30.0, 60.0])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_other_rates_are_resampled_by_their_timestamps(
    tmp_path: Path, suffix: str, fps: float
) -> None:
    times = [n / fps for n in range(int(fps))]
    clip = write_clip(tmp_path / f"clip.{suffix}", numbered(int(fps))[:30], times_s=times[:30])
    shown = levels(clip)
    assert len(shown) == round(times[:30][-1] * FPS) + 1
    assert np.abs(np.array(shown) / fps - np.arange(len(shown)) / FPS).max() < 0.51 / fps + 1e-3


def test_a_variable_rate_keeps_every_picture_at_its_time(tmp_path: Path) -> None:
    times = [0.0, 0.02, 0.04, 0.16, 0.2, 0.201, 0.4, 0.44]
    clip = write_clip(tmp_path / "clip.mp4", numbered(len(times)), times_s=times)
    nearest = [int(np.argmin(np.abs(np.array(times) - n / FPS))) for n in range(12)]
    assert levels(clip) == nearest


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(("pictures_at_s", "sound_at_s"), [(0.0, 0.3), (0.3, 0.0), (0.2, 0.5)])
def test_sound_starts_with_the_first_picture(
    tmp_path: Path, suffix: str, pictures_at_s: float, sound_at_s: float
) -> None:
    times = [pictures_at_s + n / FPS for n in range(25)]
    clip = write_clip(
        tmp_path / f"clip.{suffix}", numbered(25), click(), times_s=times, sound_at_s=sound_at_s
    )
    heard = click_heard_s(read_sound(clip, SHORT))
    assert heard == pytest.approx(CLICK_S + sound_at_s - pictures_at_s, abs=0.025)
    assert levels(clip) == list(range(25))


def test_sound_of_any_rate_and_layout_becomes_16_khz_mono(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(path, "w") as out:
        stream = out.add_stream("libx264", rate=25, width=64, height=48, pix_fmt="yuv420p")
        track = out.add_stream("aac", rate=44_100, layout="stereo")
        for picture in numbered(25):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        tone = np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
        pcm = np.stack([tone, tone], 1).astype(np.float32).reshape(1, -1) * 0.5
        part = av.AudioFrame.from_ndarray((pcm * 32_767).astype(np.int16), "s16", "stereo")
        part.sample_rate = 44_100
        out.mux(track.encode(part))
        out.mux(stream.encode())
        out.mux(track.encode())
    sound = read_sound(path, SHORT)
    assert sound is not None
    assert sound.dtype == np.float32
    assert len(sound) == pytest.approx(SAMPLE_RATE_HZ, abs=0.08 * SAMPLE_RATE_HZ)
    inner = sound[4_000:12_000]
    assert float(np.abs(np.fft.rfft(inner)).argmax()) * 2.0 == pytest.approx(440.0, abs=2.0)
    assert np.sqrt(np.square(inner).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_a_gap_in_the_sound_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(path, "w") as out:
        stream = out.add_stream("libx264", rate=25, width=64, height=48, pix_fmt="yuv420p")
        track = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for picture in numbered(28):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode())
        for start in (0, 12_000):
            part = av.AudioFrame.from_ndarray(np.full((1, 4096), 9_000, np.int16), "s16", "mono")
            part.sample_rate, part.pts = 16_000, start
            out.mux(track.encode(part))
        out.mux(track.encode())
    sound = read_sound(path, SHORT)
    assert sound is not None
    assert np.abs(sound[4_300:11_700]).max() == 0.0
    assert np.abs(sound[12_300:16_000] - 9_000 / 32_768).max() < 1e-3


def test_no_sound_is_an_error_for_who_needs_it_only(tmp_path: Path) -> None:
    silent = write_clip(tmp_path / "silent.mp4", numbered(28), np.zeros(16_000, np.float32))
    without = write_clip(tmp_path / "without.mp4", numbered(28))
    assert read_sound(without, SHORT) is None
    for path, words in ((silent, "silent"), (without, "has no sound")):
        sound = read_sound(path, SHORT)
        with pytest.raises(EnrolmentError, match=words) as caught:
            require_sound(sound)
        assert caught.value.code == "no_sound"
    tone = 0.1 * np.sin(np.arange(17_920, dtype=np.float32) / 5)
    speaking = write_clip(tmp_path / "speaking.mp4", numbered(28), tone)
    assert len(require_sound(read_sound(speaking, SHORT))) > SAMPLE_RATE_HZ


def test_sound_is_fitted_to_the_pictures() -> None:
    assert fit(np.ones(5, np.float32), 3).tolist() == [1.0, 1.0, 1.0]
    assert fit(np.ones(2, np.float32), 4).tolist() == [1.0, 1.0, 0.0, 0.0]


def test_few_pictures_are_held_at_a_time(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", numbered(28))
    alive: list[weakref.ref[np.ndarray]] = []

    def watched():
        for picture in read_pictures(clip, SHORT):
            alive.append(weakref.ref(picture.pixels))
            yield picture

    for _ in steady(watched()):
        assert sum(one() is not None for one in alive) <= 4
    assert len(alive) == 28


# Files that nobody means well with


def no_video(path: Path) -> None:
    path.write_bytes(b"\0\0\0\x18ftypisom" + bytes(2000))


def sound_only(path: Path) -> None:
    with av.open(path, "w", format="mp4") as out:
        track = out.add_stream("aac", rate=16_000, layout="mono")
        part = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.int16), "s16", "mono")
        part.sample_rate = 16_000
        out.mux(track.encode(part))
        out.mux(track.encode())


def of_size(width: int, height: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with av.open(path, "w", format="matroska") as out:
            stream = out.add_stream("ffv1", rate=25, width=width, height=height, pix_fmt="gray")
            for _ in range(3):
                blank = np.zeros((height, width), np.uint8)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(blank, "gray")))
            out.mux(stream.encode())

    return write


def whole(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (50, 96, 128, 3), np.uint8)
    write_clip(path, list(noise), click(2.0), options={"bf": "0"})


def ends_early(path: Path) -> None:
    """Its header, which says two seconds, comes first, and half of what follows is missing."""
    noise = np.random.default_rng(0).integers(0, 255, (75, 96, 128, 3), np.uint8)
    with av.open(path, "w", format="mp4", options={"movflags": "faststart"}) as out:
        stream = out.add_stream("libx264", rate=25, width=128, height=96, pix_fmt="yuv420p")
        for picture in noise:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode())
    cut(path, 0.3)


def without_tail(path: Path) -> None:
    whole(path)
    cut(path, 0.9)


def other_codec(path: Path) -> None:
    write_clip(path.with_suffix(".avi"), numbered(28), codecs=("msmpeg4", "aac"))
    path.with_suffix(".avi").rename(path)


def other_sound(path: Path) -> None:
    write_clip(path.with_suffix(".mkv"), numbered(28) * 2, click(), codecs=("libx264", "mp2"))
    path.with_suffix(".mkv").rename(path)


def table_bomb(path: Path) -> None:
    """A sample table that says it has 178 million entries of equal size."""
    whole(path)
    content = bytearray(path.read_bytes())
    at = content.index(b"stsz") + 4
    struct.pack_into(">II", content, at + 4, 1, 178_000_000)
    path.write_bytes(content)


def compressed_header(path: Path) -> None:
    inner = struct.pack(">I4s", 16, b"cmov") + bytes(8)
    path.write_bytes(
        struct.pack(">I4s4sI", 16, b"ftyp", b"qt  ", 0)
        + struct.pack(">I4s", 8 + len(inner), b"moov")
        + inner
    )


def endless_boxes(path: Path) -> None:
    head = struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0)
    path.write_bytes(head + struct.pack(">I4s", 8, b"free") * 200_000)


def playlist(path: Path) -> None:
    path.write_text("#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n")


@pytest.mark.parametrize(
    ("write", "code", "words"),
    [
        (lambda path: path.write_bytes(b""), "not_a_video", "empty"),
        (lambda path: path.write_bytes(b"\0"), "not_a_video", "not a video"),
        (no_video, "not_a_video", "damaged or cut off"),
        (playlist, "not_a_video", "not a video"),
        (sound_only, "not_a_video", "no picture"),
        (of_size(100_000, 1), "video_too_large", "100000 x 1 pixels"),
        (of_size(40, 4_000), "video_too_large", "40 x 4000 pixels"),
        (of_size(4_400, 4_400), "video_too_large", "4400 x 4400 pixels"),
        (without_tail, "not_a_video", "damaged or cut off"),
        (ends_early, "not_a_video", "should last 3.0 s, but its pictures end after"),
        (other_codec, "unsupported_type", "msmpeg4"),
        (other_sound, "unsupported_type", "mp2"),
        (table_bomb, "video_too_long", "178000"),
        (compressed_header, "not_a_video", "header"),
        (endless_boxes, "not_a_video", "header"),
        (lambda path: write_clip(path, numbered(10)), "video_too_short", "only 0.4 s"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(
    tmp_path: Path, write: Callable[[Path], None], code: str, words: str
) -> None:
    path = tmp_path / "clip.mp4"
    write(path)
    refused = refusal(path)
    assert refused.code == code
    assert words in str(refused)


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (VideoLimits(bytes=1_000), "video_too_large"),
        (VideoLimits(pixels=10_000), "video_too_large"),
        (VideoLimits(longest_s=0.5), "video_too_long"),
        (VideoLimits(frames=20), "video_too_long"),
    ],
)
def test_limits_hold_before_anything_is_decoded(
    tmp_path: Path, limits: VideoLimits, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clip.mp4"
    whole(path)
    monkeypatch.setattr(container, "_frames", lambda *_: pytest.fail("it was decoded"))
    assert refusal(path, limits).code == code


def live(path: Path, times_s: list[float]) -> None:
    """A file as browsers record it: it says neither how long it is nor how many pictures it has."""
    with av.open(path, "w", format="matroska", options={"live": "1"}) as out:
        stream = out.add_stream("libvpx", rate=25, width=64, height=48, pix_fmt="yuv420p")
        stream.codec_context.time_base = Fraction(1, 1000)
        for picture, time_s in zip(numbered(len(times_s)), times_s, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = round(time_s * 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


@pytest.mark.parametrize(
    "times_s",
    [
        [n / 25 for n in range(28)],  # goes on and on
        [n / 1000 for n in range(28)],  # and so does this one, which takes no time
        [0.0, 0.04, 5_000.0],  # a jump, which would be filled with pictures
    ],
)
def test_what_says_no_length_ends_all_the_same(tmp_path: Path, times_s: list[float]) -> None:
    path = tmp_path / "clip.webm"
    live(path, times_s)
    assert inspect(path, SHORT).seconds is None
    limits = VideoLimits(longest_s=1.0, frames=20, shortest_s=0.0)
    assert refusal(path, limits).code == "video_too_long"


def test_larger_pictures_than_the_header_says_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, numbered(28, 640, 480))
    content = bytearray(path.read_bytes())
    struct.pack_into(">HH", content, content.index(b"avc1", content.index(b"stsd")) + 28, 64, 48)
    path.write_bytes(content)
    assert refusal(path, VideoLimits(pixels=100_000)).code in ("video_too_large", "not_a_video")


def test_damage_inside_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    whole(path)
    damage(path, 0.5, 200)
    shown = list(steady(read_pictures(path)))
    assert len(shown) == pytest.approx(50, abs=2)


@given(st.binary(max_size=64))
def test_any_first_bytes_are_told_or_refused(head: bytes) -> None:
    try:
        assert sniff(head) in ("mp4", "matroska", "avi")
    except EnrolmentError as error:
        assert error.code == "not_a_video"
