"""espeak-ng through its C library: samples and the start time of every phoneme."""

from __future__ import annotations

import ctypes as c
import ctypes.util
import threading
from functools import cache

import numpy as np
from numpy.typing import NDArray

# espeak-ng/speak_lib.h
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_PHONEME_EVENTS, _INITIALIZE_PHONEME_IPA = 1, 2
_EVENT_END, _EVENT_PHONEME = 0, 7
_CHARS_UTF8, _POS_CHARACTER = 1, 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_WORDS_PER_MIN, _MEAN_PITCH = 175, 50  # the library's defaults


class _Value(c.Union):
    _fields_ = (("number", c.c_int), ("name", c.c_char_p), ("string", c.c_char * 8))


class _Event(c.Structure):
    _fields_ = (
        ("type", c.c_int),
        ("unique_identifier", c.c_uint),
        ("text_position", c.c_int),
        ("length", c.c_int),
        ("audio_position", c.c_int),  # ms
        ("sample", c.c_int),
        ("user_data", c.c_void_p),
        ("id", _Value),
    )


_Callback = c.CFUNCTYPE(c.c_int, c.POINTER(c.c_short), c.c_int, c.POINTER(_Event))


class EspeakLibrary:
    """The library holds one voice and one callback per process, so one call at a time."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng")
        if name is None:
            raise RuntimeError("libespeak-ng is missing; on Debian: apt-get install libespeak-ng1")
        self._lock = threading.Lock()
        self._audio: list[NDArray[np.int16]] = []
        self._symbols: list[tuple[int, str]] = []
        self._callback = _Callback(self._collect)  # kept: the library calls it later
        self._library = c.CDLL(name)
        options = _INITIALIZE_PHONEME_EVENTS | _INITIALIZE_PHONEME_IPA
        self.rate_hz: int = self._library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, 200, None, options
        )
        if self.rate_hz <= 0:
            raise RuntimeError("libespeak-ng did not start; is the package espeak-ng-data there?")
        self._library.espeak_SetSynthCallback(self._callback)

    def say(
        self, text: str, voice: str, rate: float, pitch: float
    ) -> tuple[NDArray[np.int16], list[tuple[float, str]]]:
        """Samples [S] int16 at `rate_hz`, and (start in seconds, IPA or '') in order."""
        with self._lock:
            self._audio, self._symbols = [], []
            if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise ValueError(f"espeak-ng has no voice {voice!r}; see `espeak-ng --voices`")
            self._library.espeak_SetParameter(_RATE, round(_WORDS_PER_MIN * rate), 0)
            self._library.espeak_SetParameter(_PITCH, round(_MEAN_PITCH * pitch), 0)
            data = text.encode()
            self._library.espeak_Synth(
                data, len(data) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None
            )
            self._library.espeak_Synchronize()
            if not self._audio:
                raise RuntimeError(f"espeak-ng made no sound of {text!r}")
            starts = [(sample / self.rate_hz, symbol) for sample, symbol in self._symbols]
            return np.concatenate(self._audio), starts

    def _collect(self, samples: object, count: int, events: object) -> int:
        if samples and count > 0:
            self._audio.append(np.ctypeslib.as_array(samples, (count,)).copy())
        for event in events:  # type: ignore[attr-defined]
            if event.type == _EVENT_END:
                break
            if event.type == _EVENT_PHONEME:
                self._symbols.append((event.sample, event.id.string.decode("utf-8", "replace")))
        return 0


@cache
def library() -> EspeakLibrary:
    """The one library of this process."""
    return EspeakLibrary()
