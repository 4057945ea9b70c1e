"""Speech through Opus and a lossy network: encoded, some packets lost, decoded and concealed.

Used for training data only; the server's own sound goes through aiortc. Delay is compensated by
the encoder's pre-skip (RFC 7845, section 4.2), so times in the sound hold.
"""

from __future__ import annotations

import struct

import av
import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from training.speech.phones import RATE_HZ

PACKET = RATE_HZ // 50  # 20 ms
_DECODED_HZ = 48_000
_DECODED_PACKET = _DECODED_HZ // 50
_LONGEST_CONCEALMENT = 3  # packets; silence after that, as receivers do


def through_opus(
    samples: NDArray[np.float64], bit_rate: int, lost: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """`samples` [S] at 16 kHz in [-1, 1] -> what a receiver plays, [S], at the same times.

    `lost` bool [packets of 20 ms]; packets beyond its end arrive. Raises ValueError for a bit rate
    out of Opus's range.
    """
    if not 6_000 <= bit_rate <= 510_000:
        raise ValueError(f"Opus has 6000 to 510000 bit/s, got {bit_rate}")
    packets, pre_skip = _encode(samples, bit_rate)
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = _DECODED_HZ, "mono"
    heard = np.zeros(len(packets) * _DECODED_PACKET)
    gap = 0
    for n, packet in enumerate(packets):
        at = n * _DECODED_PACKET
        if n < len(lost) and lost[n]:
            heard[at : at + _DECODED_PACKET] = _conceal(heard[:at], gap)
            gap += 1
            continue
        pcm = np.concatenate([f.to_ndarray()[0] for f in decoder.decode(av.Packet(packet))])
        heard[at : at + _DECODED_PACKET] = pcm / 32_768.0
        gap = 0
    aligned = resample_poly(heard[pre_skip:], RATE_HZ, _DECODED_HZ)
    return np.asarray(aligned[: len(samples)])


def losses(count: int, share: float, chance: np.random.Generator) -> NDArray[np.bool_]:
    """Which of `count` packets are lost: bursts of 1.7 packets on average (Gilbert, 1960)."""
    recover = 0.6
    fail = min(1.0, recover * share / max(1e-9, 1.0 - share))
    draws = chance.random(count)
    lost = np.zeros(count, dtype=np.bool_)
    bad = False
    for n, draw in enumerate(draws):
        bad = draw >= recover if bad else draw < fail
        lost[n] = bad
    return lost


def _encode(samples: NDArray[np.float64], bit_rate: int) -> tuple[list[bytes], int]:
    """Packets of 20 ms and the encoder's delay in samples at 48 kHz."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = RATE_HZ, "mono", "s16"
    encoder.bit_rate = bit_rate
    encoder.options = {"application": "voip", "frame_duration": "20", "compression_level": "5"}
    encoder.open()
    (pre_skip,) = struct.unpack_from("<H", encoder.extradata or b"", 10)  # in OpusHead
    padded = np.zeros((-(-len(samples) // PACKET) + 2) * PACKET)  # the delay needs room at the end
    padded[: len(samples)] = samples
    pcm = (padded.clip(-1.0, 1.0) * 32_767.0).astype(np.int16)
    packets = []
    for at in range(0, len(pcm), PACKET):
        frame = av.AudioFrame.from_ndarray(pcm[None, at : at + PACKET], format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, at
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets, pre_skip


def _conceal(past: NDArray[np.float64], gap: int) -> NDArray[np.float64]:
    """One packet in place of a lost one: the last pitch period over and over, fading out."""
    size = _DECODED_PACKET
    if gap >= _LONGEST_CONCEALMENT or len(past) < 2 * size or not past[-size:].any():
        return np.zeros(size)
    recent = past[-2 * size :: 3]  # 16 kHz is enough to find the period
    shortest, longest = 40, 260  # 400 to 62 Hz
    tail = recent[-longest:]
    scores = [
        float(tail @ recent[len(recent) - longest - lag : len(recent) - lag])
        for lag in range(shortest, len(recent) - longest)
    ]
    period = 3 * (shortest + int(np.argmax(scores)))
    fade = 1.0 - (gap + np.arange(size) / size) / _LONGEST_CONCEALMENT
    start = 1.0 - gap / _LONGEST_CONCEALMENT  # the past already faded that far
    return np.asarray(np.resize(past[-period:], size) * fade / max(start, 1e-9))
