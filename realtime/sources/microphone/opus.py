"""Opus decoding with in-band error correction, by libopus itself.

A packet may carry a rough copy of the one before it (RFC 6716, section 2.1.7), which PyAV's decoder
does not give. The library is the one that comes with PyAV's wheel, or else the system's.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import weakref
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from realtime.media import VOICE_RATE_HZ

_LONGEST = VOICE_RATE_HZ * 120 // 1000  # samples of the longest packet

_STATE = ctypes.c_void_p
_PCM = ctypes.POINTER(ctypes.c_int16)


@functools.cache
def _library() -> ctypes.CDLL:
    package = Path(av.__file__).parent
    bundled = [*package.parent.glob("av.libs/libopus*"), *package.glob(".dylibs/libopus*")]
    name = str(bundled[0]) if bundled else ctypes.util.find_library("opus")
    if name is None:
        raise RuntimeError("libopus was not found: install av from its wheel, or package libopus0")
    library = ctypes.CDLL(name)
    integer, packet = ctypes.c_int32, ctypes.c_char_p
    library.opus_decoder_create.argtypes = [integer, integer, ctypes.POINTER(ctypes.c_int)]
    library.opus_decoder_create.restype = _STATE
    library.opus_decoder_destroy.argtypes = [_STATE]
    library.opus_decoder_destroy.restype = None
    library.opus_decode.argtypes = [_STATE, packet, integer, _PCM, integer, integer]
    library.opus_packet_has_lbrr.argtypes = [packet, integer]
    library.opus_packet_get_nb_samples.argtypes = [packet, integer, integer]
    library.opus_strerror.restype = ctypes.c_char_p
    return library


class OpusDecoder:
    """Packets of one stream in, mono PCM at 48 kHz out (30 us for 20 ms)."""

    def __init__(self) -> None:
        self._library = _library()
        error = ctypes.c_int()
        self._state = self._library.opus_decoder_create(VOICE_RATE_HZ, 1, ctypes.byref(error))
        if error.value:
            raise RuntimeError(f"no Opus decoder: {self._reason(error.value)}")
        weakref.finalize(self, self._library.opus_decoder_destroy, self._state)
        self._pcm = np.empty(_LONGEST, np.int16)
        self._pointer = self._pcm.ctypes.data_as(_PCM)

    def samples(self, payload: bytes) -> int:
        """Length of a packet's sound, 120..5,760; raises ValueError on what is not Opus."""
        count = self._checked(
            self._library.opus_packet_get_nb_samples(payload, len(payload), VOICE_RATE_HZ)
        )
        if not count:  # the library counts the frames as they are written, RFC 6716 forbids none
            raise ValueError("not an Opus packet: it holds no frame")
        return count

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        """One packet -> int16 [n]; raises ValueError on what is not Opus."""
        return self._decode(payload, _LONGEST, recover=False)

    def recover(self, following: bytes, samples: int) -> NDArray[np.int16] | None:
        """What the lost packet before `following` held, int16 [samples], if that tells.

        To be called before `following` is decoded.
        """
        if not following or self._library.opus_packet_has_lbrr(following, len(following)) <= 0:
            return None
        return self._decode(following, samples, recover=True)

    def _decode(self, payload: bytes, samples: int, *, recover: bool) -> NDArray[np.int16]:
        count = self._checked(
            self._library.opus_decode(
                self._state, payload, len(payload), self._pointer, samples, recover
            )
        )
        return self._pcm[:count].copy()

    def _checked(self, count: int) -> int:
        if count < 0:
            raise ValueError(f"not an Opus packet: {self._reason(count)}")
        return count

    def _reason(self, code: int) -> str:
        text: bytes = self._library.opus_strerror(code)
        return text.decode()
