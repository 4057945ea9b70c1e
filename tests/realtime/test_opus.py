"""The Opus decoder alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.sources.microphone.opus import OpusDecoder
from tests.support.fakes import opus_packets
from tests.support.sounds import buzz


def test_decoding_is_faithful() -> None:
    pcm = buzz(50)
    decoder = OpusDecoder()
    decoded = np.concatenate([decoder.decode(p) for p in opus_packets(pcm, 64_000)]).astype(float)
    level = np.std(decoded.reshape(-1, 960), axis=1)[6:]
    assert np.corrcoef(level, np.std(pcm.reshape(-1, 960), axis=1)[6:])[0, 1] > 0.9
    assert np.mean(level) == pytest.approx(np.std(pcm), rel=0.2)


def test_a_packet_tells_its_length_and_may_hold_the_one_before() -> None:
    payloads = opus_packets(buzz(50))
    decoder = OpusDecoder()
    whole = [decoder.decode(p) for p in payloads]
    decoder = OpusDecoder()
    for n, payload in enumerate(payloads):
        assert decoder.samples(payload) == 960
        if n - 1 in (8, 20):
            copy = decoder.recover(payload, 960)
            assert copy is not None
            a, b = whole[n - 1].astype(float), copy.astype(float)
            assert np.corrcoef(a, b)[0, 1] > 0.6
            assert 0.5 < np.std(b) / np.std(a) < 1.6
        if n not in (8, 20):
            decoder.decode(payload)


def test_a_packet_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="no frame"):
        OpusDecoder().samples(b"\x03\x00")  # RFC 6716, section 3.2.5: M must not be zero


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_the_decoder_survives_any_bytes(payloads: list[bytes]) -> None:
    decoder = OpusDecoder()
    for payload in payloads:
        for attempt in (
            lambda p=payload: decoder.recover(p, 960),
            lambda p=payload: decoder.decode(p),
        ):
            try:
                pcm = attempt()
            except ValueError:
                continue
            assert pcm is None or len(pcm) <= 5_760
        try:
            assert 120 <= decoder.samples(payload) <= 5_760
        except ValueError:
            continue
