"""MP4 files: whole, marked, in sync, of any size, from any moment of a stream."""

from pathlib import Path

import av
import numpy as np
import pytest

from realtime.media import HOP_SAMPLES, PACKET_SAMPLES, Picture, Voice
from realtime.sinks.mp4 import Mp4Sink

SIZE = (320, 180)


def items(start, hops, channels=1):
    """What a stream gives out from `start` on: ever lighter pictures, a tone."""
    t = np.arange(960 * 2 * hops)
    tone = (8_000 * np.sin(t / 20)).astype(np.int16)
    pcm = tone if channels == 1 else np.stack([tone, -tone], axis=1)
    for n in range(2 * hops):
        yield Voice(start + n * PACKET_SAMPLES, pcm[960 * n : 960 * (n + 1)])
        if n % 2 == 0:
            planes = np.full((270, 320), 40 + 8 * (n // 2), np.uint8)
            image = av.VideoFrame.from_ndarray(planes, "yuv420p")
            yield Picture(start + n * PACKET_SAMPLES, image, fresh=True)


def write(path, pieces, channels=1):
    with Mp4Sink(path, SIZE, channels) as sink:
        for piece in pieces:
            sink.write(piece)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("start", [0, HOP_SAMPLES * 1_000, HOP_SAMPLES * 7 + PACKET_SAMPLES])
def test_a_clip_begins_at_zero_whenever_the_sink_joined(tmp_path, start, channels):
    write(tmp_path / "out.mp4", items(start, 10, channels), channels)
    with av.open(str(tmp_path / "out.mp4")) as clip:
        assert "AI-generated" in clip.metadata["comment"]
        video, audio = clip.streams.video[0], clip.streams.audio[0]
        assert (video.width, video.height, video.frames) == (*SIZE, 10)
        assert audio.codec_context.channels == channels
        pictures = list(clip.decode(video=0))
    assert [picture.time for picture in pictures] == pytest.approx([n / 25 for n in range(10)])
    shown = [np.median(picture.to_ndarray()[:180]) for picture in pictures]
    assert shown == pytest.approx([40 + 8 * n for n in range(10)], abs=2)
    with av.open(str(tmp_path / "out.mp4")) as clip:
        sound = list(clip.decode(audio=0))
    assert sound[0].time == 0.0
    assert sum(part.samples for part in sound) >= 19_200


def test_a_disk_that_is_full_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"cannot write /dev/full: No space left"):
        write(Path("/dev/full"), items(0, 10))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"cannot write .*: No such file or directory"):
        write(tmp_path / "nowhere" / "out.mp4", items(0, 1))


def test_a_picture_that_other_sinks_have_too_is_not_written_to(tmp_path):
    pieces = list(items(0, 3))
    write(tmp_path / "one.mp4", pieces)
    write(tmp_path / "other.mp4", [piece for piece in pieces if piece.start >= HOP_SAMPLES])
    assert all(p.image.pts is None for p in pieces if isinstance(p, Picture))
