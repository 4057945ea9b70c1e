"""Pictures and voice into an MP4, marked as generated. Knows no model and no microphone."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av

from realtime.media import FPS, SAMPLE_RATE_HZ, VOICE_RATE_HZ, Picture, Size, Voice, own_frame

MARK = "AI-generated video of a synthetic avatar (vivavoce)"
BIT_RATE = {1: 128_000, 2: 192_000}
"""Of AAC by number of channels: hardly to be told from what it was made of."""

_TIME_BASE = Fraction(1, SAMPLE_RATE_HZ)


class Mp4Sink:
    """H.264 and AAC into a file, which is whole once the `with` block ends without an error.

    Args:
        path: written at once, over whatever is there.
        size: (width, height) of the pictures.
        channels: of the voice, 1 or 2.

    Raises:
        ValueError: the file cannot be written (here and in every call).
    """

    def __init__(self, path: Path, size: Size, channels: int) -> None:
        self._path = path
        try:
            self._container = av.open(str(path), "w", format="mp4")
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error
        self._container.metadata["comment"] = MARK
        self._video = self._container.add_stream(
            "libx264", rate=FPS, options={"preset": "veryfast", "crf": "20", "threads": "1"}
        )
        self._video.width, self._video.height = size
        self._video.pix_fmt = "yuv420p"
        self._layout = "mono" if channels == 1 else "stereo"
        self._audio = self._container.add_stream("aac", rate=VOICE_RATE_HZ, layout=self._layout)
        self._audio.bit_rate = BIT_RATE[channels]
        self._origin: int | None = None  # position of what came first

    def write(self, item: Voice | Picture) -> None:
        """Add a piece of voice or a picture; each kind in order, with its first at any time."""
        if self._origin is None:
            self._origin = item.start
        try:
            if isinstance(item, Voice):
                self._container.mux(self._audio.encode(self._sound(item)))
            else:
                picture = own_frame(item.image)
                picture.pts, picture.time_base = item.start - self._origin, _TIME_BASE
                self._container.mux(self._video.encode(picture))
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def _sound(self, voice: Voice) -> av.AudioFrame:
        assert self._origin is not None
        sound = av.AudioFrame.from_ndarray(voice.pcm.reshape(1, -1), "s16", self._layout)
        sound.sample_rate = VOICE_RATE_HZ
        sound.pts, sound.time_base = voice.start - self._origin, _TIME_BASE
        return sound

    def close(self) -> None:
        """Flush the encoders and finish the file."""
        try:
            if self._origin is not None:
                self._container.mux(self._video.encode(None))
                self._container.mux(self._audio.encode(None))
            self._container.close()
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> ValueError:
        why = getattr(error, "strerror", None) or error
        return ValueError(f"cannot write {self._path}: {why}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            with suppress(av.FFmpegError, OSError):  # the first error counts
                self._container.close()
