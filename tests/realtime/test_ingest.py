"""The microphone's path: packets of every kind in, contiguous hops with a bounded delay out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from realtime.media import HOP_SAMPLES, Hop
from realtime.sources.microphone.config import IngestConfig
from realtime.sources.microphone.ingest import Ingest
from tests.support.fakes import PACKET, PcmDecoder, SentPacket, deliver, held_up, lossy, microphone

CLICK = 25_000
CLICK_EVERY_S = 0.5


def silence(seconds: float) -> NDArray[np.int16]:
    return np.zeros(int(seconds * 50) * PACKET, np.int16)


def clicks(seconds: float, speech: bool = False) -> NDArray[np.int16]:
    """A click each half second, over silence or over a voice that pauses now and then."""
    x = silence(seconds).astype(float)
    if speech:
        t = np.arange(len(x)) / 48_000
        phase = np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / 48_000
        x += sum(3000 / k * np.sin(2 * np.pi * k * phase) for k in range(1, 12)) * (t % 1.5 < 1.2)
    for k in range(1, int(seconds / CLICK_EVERY_S)):
        at = int(k * CLICK_EVERY_S * 48_000)
        x[at : at + 6] = 30_000
    return x.astype(np.int16)


def delays_ms(hops: list[Hop]) -> list[tuple[float, float]]:
    """(time, delay of the microphone in ms) of each click that came through."""
    voice = np.concatenate([hop.voice for hop in hops]).astype(int)
    found = np.flatnonzero(voice > CLICK)
    found = found[np.diff(found, prepend=-10_000) > 2_000] / 48_000
    origin = np.round((found - 0.06) / CLICK_EVERY_S) * CLICK_EVERY_S
    return [(float(o), float(f - o) * 1000) for f, o in zip(found, origin, strict=True)]


def started(config: IngestConfig | None = None) -> Ingest:
    ingest = Ingest(config, PcmDecoder())
    ingest.start(0.0)
    return ingest


def assert_contiguous(hops: list[Hop]) -> None:
    assert [hop.start for hop in hops] == [HOP_SAMPLES * n for n in range(len(hops))]
    assert all(hop.samples.shape == (640,) and hop.voice.shape == (1920,) for hop in hops)


def test_without_packets_silence_follows_the_clock() -> None:
    ingest = started()
    assert ingest.pull(0.039) == []
    assert ingest.next_deadline() == pytest.approx(0.040)
    hops = ingest.pull(1.0)
    assert_contiguous(hops)
    assert len(hops) == 25
    assert not any(hop.voice.any() or hop.speech for hop in hops)


def test_a_clean_microphone_comes_through_unchanged_and_at_once() -> None:
    rng = np.random.default_rng(0)
    signal = rng.integers(-20_000, 20_000, 100 * PACKET).astype(np.int16)
    ingest = started()
    hops = deliver(ingest, microphone(signal), 2.0)
    assert_contiguous(hops)
    voice = np.concatenate([hop.voice for hop in hops])
    assert np.array_equal(voice[PACKET:], signal[PACKET : len(voice)])  # it fades in
    assert all(hop.arrived == pytest.approx((hop.start + 640) / 16_000) for hop in hops)
    assert ingest.stats.concealed_samples == ingest.stats.late == ingest.stats.lost == 0


@given(
    seed=st.integers(0, 2**32 - 1),
    loss=st.sampled_from([0.0, 0.05, 0.3]),
    jitter_ms=st.sampled_from([0.0, 5.0, 20.0, 60.0]),
    duplicates=st.booleans(),
    drift_ppm=st.sampled_from([-200.0, 0.0, 200.0]),
    rtp_start=st.sampled_from([0, 2**32 - 20 * PACKET]),
    sequence_start=st.sampled_from([0, 2**16 - 30]),
)
def test_whatever_the_network_does_samples_come_once_and_in_order(
    seed: int,
    loss: float,
    jitter_ms: float,
    duplicates: bool,
    drift_ppm: float,
    rtp_start: int,
    sequence_start: int,
) -> None:
    rng = np.random.default_rng(seed)
    numbered = np.repeat(np.arange(1, 151, dtype=np.int16), PACKET)  # packet n is full of n
    packets = lossy(
        microphone(
            numbered,
            delay=lambda sent: max(0.0, rng.normal(0.03, jitter_ms / 1000)),
            drift_ppm=drift_ppm,
            rtp_start=rtp_start,
            sequence_start=sequence_start,
        ),
        loss,
        rng,
    )
    if duplicates:
        packets += [replace(p, arrival=p.arrival + 0.01) for p in packets]
    ingest = started()
    heard: list[NDArray[np.int16]] = []

    def listen(pcm: NDArray[np.int16], present: NDArray[np.bool_]) -> NDArray[np.int16]:
        heard.append(pcm[present])
        return np.where(present, pcm, 0).astype(np.int16)

    ingest._conceal = listen  # type: ignore[assignment]
    hops = deliver(ingest, packets, 4.0)
    assert_contiguous(hops)
    assert len(hops) == 99  # the hundredth may still wait
    order = np.concatenate(heard)
    assert np.all(np.diff(order) >= 0)
    assert np.bincount(order).max() <= PACKET
    for hop in hops[1:]:
        assert hop.arrived <= (hop.start + HOP_SAMPLES) / 16_000 + ingest.config.wait_s + 1e-9
    if loss == 0 and jitter_ms == 0:
        assert len(order) >= 149 * PACKET - 3 * PACKET


def run(
    packets: list[SentPacket], seconds: float, speech: bool = False
) -> tuple[Ingest, list[tuple[float, float]]]:
    ingest = started()
    return ingest, delays_ms(deliver(ingest, packets, seconds))


def test_loss_and_jitter_leave_the_delay_flat() -> None:
    """5 % loss and 20 ms jitter for a minute."""
    rng = np.random.default_rng(3)
    packets = microphone(clicks(60), delay=lambda sent: max(0.0, rng.normal(0.02, 0.02)))
    ingest, delays = run(lossy(packets, 0.05, rng), 60)
    early = [d for t, d in delays if t < 20]
    late = [d for t, d in delays if t > 40]
    assert abs(np.median(late) - np.median(early)) <= 20
    assert max(d for _, d in delays) <= 100
    assert ingest.stats.late < 0.03 * ingest.stats.received
    assert ingest.stats.lost == pytest.approx(150, abs=40)


@pytest.mark.parametrize("speech", [False, True])
def test_delay_returns_when_the_network_calms_down(speech: bool) -> None:
    rng = np.random.default_rng(4)
    packets = microphone(
        clicks(30, speech),
        delay=lambda sent: max(0.0, rng.normal(0.02, 0.02)) if sent < 10 else 0.02,
    )
    ingest, delays = run(packets, 30)
    assert max(d for t, d in delays if t < 10) > 40
    assert all(d <= 21 for t, d in delays if t > 20)
    assert ingest.stats.removed_ms > 0


def test_a_step_in_the_networks_delay_is_followed_up_and_down() -> None:
    packets = microphone(clicks(30, True), delay=lambda sent: 0.12 if 10 < sent < 20 else 0.02)
    _, delays = run(packets, 30)
    assert [round(d) for t, d in delays if 11 < t < 20] == [120] * 17
    assert all(d <= 21 for t, d in delays if t < 10 or t > 26)


def test_an_outage_costs_its_own_length_and_no_delay() -> None:
    packets = held_up(microphone(clicks(20)), 10.0, 10.3)
    ingest, delays = run(packets, 20)
    assert all(abs(d) < 1 for _, d in delays)
    assert ingest.stats.inserted_ms == 0


def test_lost_packets_add_no_delay() -> None:
    packets = [p for p in microphone(clicks(20)) if not 10 < p.arrival < 10.5]
    ingest, delays = run(packets, 20)
    assert all(abs(d) < 1 for _, d in delays)
    assert ingest.stats.lost == 24


@pytest.mark.parametrize("drift_ppm", [-200.0, 200.0])
def test_a_drifting_sender_never_builds_up_delay(drift_ppm: float) -> None:
    rng = np.random.default_rng(1)
    packets = microphone(
        clicks(160), delay=lambda sent: rng.uniform(0.02, 0.022), drift_ppm=drift_ppm
    )
    ingest = started()
    hops = deliver(ingest, packets, 159)
    voice = np.concatenate([hop.voice for hop in hops]).astype(int)
    found = np.flatnonzero(voice > CLICK)
    found = found[np.diff(found, prepend=-10_000) > 2_000] / 48_000
    clicked = np.round((found - 0.03) / CLICK_EVERY_S) * CLICK_EVERY_S
    delays = found - clicked / (1 + drift_ppm * 1e-6)
    assert np.all(delays > 0.0)
    assert np.all(delays < 0.062)


@pytest.mark.parametrize("jitter_s", [0.0, 0.002])
def test_a_slow_senders_packets_are_given_time_before_they_are_late(jitter_s: float) -> None:
    """Half a percent: 20 ms of delay every four seconds."""
    rng = np.random.default_rng(1)
    packets = microphone(
        clicks(60, speech=True),
        delay=lambda sent: 0.03 + abs(rng.normal(0, jitter_s)),
        drift_ppm=-5_000,
    )
    ingest = started()
    deliver(ingest, packets, 58)
    assert ingest.stats.inserted_ms == 300
    assert ingest.stats.late <= (5 if jitter_s else 0)


def test_a_queue_from_before_the_connection_was_up_is_skipped() -> None:
    ingest, delays = run(held_up(microphone(clicks(10)), 0.0, 0.4), 10)
    assert all(d < 21 for t, d in delays)
    assert all(abs(d) < 1 for t, d in delays if t > 3)
    assert ingest.stats.reanchors == 1


def test_being_called_late_ourselves_neither_loses_sound_nor_adds_delay() -> None:
    """The process stalls 150 ms a second; then the socket hands out one packet a millisecond."""
    signal = clicks(20, speech=True)
    packets = microphone(signal)
    ingest = started()
    hops: list[Hop] = []
    now = 0.0
    waiting = list(packets)
    while now < 19.9:
        stalled = now % 1.0 < 0.15
        if not stalled:
            if waiting and waiting[0].arrival <= now:
                packet = waiting.pop(0)
                ingest.push(packet.rtp_timestamp, packet.sequence, packet.payload, now, ssrc=1)
            hops += ingest.pull(now)
        now += 0.001
    assert_contiguous(hops)
    assert ingest.stats.stalls >= 18
    assert ingest.stats.late == 0
    assert ingest.stats.concealed_samples == 0
    assert ingest.stats.inserted_ms <= 20  # to find the right place once
    assert max(d for _, d in delays_ms(hops)) <= 21


def test_sound_of_a_long_stall_is_all_there_afterwards() -> None:
    packets = microphone(clicks(6))
    ingest = started()
    hops = deliver(ingest, packets[:100], 2.0)
    for packet in packets[100:180]:  # 1.6 s in which nobody called us
        ingest.push(packet.rtp_timestamp, packet.sequence, packet.payload, 3.601, ssrc=1)
    hops += ingest.pull(3.602)
    hops += deliver(ingest, packets[180:], 6.0)
    assert_contiguous(hops)
    assert len(delays_ms(hops)) == 11
    assert ingest.stats.concealed_samples == 0


@pytest.mark.parametrize("queued_s", [0.0, 0.25])
@pytest.mark.parametrize("phase_s", [0.0, 0.001, 0.0073, 0.0199])
def test_the_timeline_may_move_to_meet_the_packets(phase_s: float, queued_s: float) -> None:
    packets = microphone(clicks(5), start=phase_s)
    packets = held_up(packets, 0.0, packets[0].arrival + queued_s)
    ingest = started(IngestConfig(align=True))
    hops = deliver(ingest, packets, 5)
    assert_contiguous(hops)
    assert 0 <= ingest.t0 < 0.041
    assert round((packets[50].arrival - ingest.t0) * 48_000) % PACKET == 0
    for hop in hops[20:]:  # complete at the very moment they end
        assert hop.arrived == pytest.approx(ingest.t0 + (hop.start + 640) / 16_000, abs=1e-4)


def test_irregular_bursts_are_smoothed() -> None:
    """A radio that delivers every 100 ms."""
    packets = microphone(clicks(20), delay=lambda sent: -sent % 0.1)
    ingest, delays = run(packets, 20)
    assert ingest.stats.late < 20
    assert all(d <= 121 for _, d in delays)


def test_a_new_stream_and_a_timestamp_jump_are_followed() -> None:
    first = microphone(clicks(5), rtp_start=7_000_000)
    second = microphone(clicks(5), start=5.0, rtp_start=99, sequence_start=40_000)
    third = microphone(clicks(5), start=10.0, rtp_start=3_000_000_000, sequence_start=40_250)
    packets = first + [replace(p, ssrc=2) for p in second + third]
    ingest, delays = run(packets, 15)
    assert len(delays) >= 26
    assert all(abs(d) < 1 for _, d in delays)
    assert ingest.stats.reanchors == 3


def test_silence_that_the_sender_does_not_send_is_not_concealment() -> None:
    """Discontinuous transmission: sequence numbers go on where RTP time jumps."""
    signal = clicks(10, speech=True)
    quiet = np.abs(signal.reshape(-1, PACKET)).max(axis=1) < 100
    sent = [p for n, p in enumerate(microphone(signal)) if not quiet[n] or n % 20 == 0]
    packets = [replace(p, sequence=n) for n, p in enumerate(sent)]
    assert len(packets) < 450
    ingest = started()
    hops = deliver(ingest, packets, 10)
    assert_contiguous(hops)
    assert ingest.stats.concealed_samples == ingest.stats.lost == ingest.stats.late == 0
    ingest = started()
    deliver(ingest, sent, 10)  # the same, but the numbers tell of losses
    assert ingest.stats.concealed_samples == 320 * ingest.stats.lost > 0


def test_late_sound_counts_as_concealed() -> None:
    packets = microphone(clicks(10))
    packets[101] = replace(packets[101], arrival=packets[101].arrival + 0.015)
    ingest = started()
    deliver(ingest, packets, 10)
    assert ingest.stats.late == 1
    assert ingest.stats.concealed_samples == 320


def test_a_muted_microphone_is_silent_and_comes_back() -> None:
    packets = [p for p in microphone(clicks(10, speech=True)) if not 3 < p.sent < 6]
    ingest = started()
    hops = deliver(ingest, packets, 10)
    assert_contiguous(hops)
    quiet = [hop for hop in hops if 3.15 < hop.start / 16_000 < 5.9]
    assert not any(hop.voice.any() for hop in quiet)
    assert all(abs(d) < 1 for _, d in delays_ms(hops))


@given(
    timestamp=st.integers(0, 2**32 - 1),
    sequence=st.integers(0, 2**16 - 1),
    length=st.integers(0, 14_000),
    data=st.data(),
)
def test_garbage_neither_raises_nor_stops_the_hops(
    timestamp: int, sequence: int, length: int, data: st.DataObject
) -> None:
    ingest = started()
    packets = microphone(clicks(2))
    hops = deliver(ingest, packets[:50], 1.0)
    for _ in range(data.draw(st.integers(1, 4))):
        ingest.push(timestamp, sequence, bytes(length), 1.001)
        hops += ingest.pull(1.001)
    hops += deliver(ingest, packets[50:], 2.0)
    assert_contiguous(hops)
    assert len(hops) in (49, 50)


def test_speech_edges_carry_positions() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(48_000) / 48_000
    phase = np.cumsum(130 + 15 * np.sin(2 * np.pi * 3 * t)) / 48_000
    voice = sum(
        np.sin(2 * np.pi * k * phase) / (1 + ((k * 130 - 600) / 300) ** 2) for k in range(1, 30)
    )
    signal = rng.normal(0, 8, 3 * 48_000)
    signal[48_000:96_000] += 6_000 * voice * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    ingest = started()
    hops = deliver(ingest, microphone(signal.astype(np.int16)), 3.0)
    edges = [edge for hop in hops for edge in hop.edges]
    assert [edge.kind for edge in edges] == ["started", "stopped"]
    assert edges[0].position == pytest.approx(16_000, abs=1_600)
    assert edges[1].position == pytest.approx(32_000, abs=1_600)
    assert [hop.speech for hop in hops[28:48]] == [True] * 20


def test_start_comes_first_and_once() -> None:
    ingest = Ingest()
    with pytest.raises(RuntimeError, match="start"):
        ingest.next_deadline()
    ingest.start(0.0)
    with pytest.raises(RuntimeError, match="before"):
        ingest.start(1.0)
    with pytest.raises(ValueError, match="wait_s"):
        IngestConfig(wait_s=2.0)
