"""Packets that overtake each other, and what that must not do to the sound."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from realtime.sources.microphone.config import IngestConfig
from realtime.sources.microphone.ingest import Hop, Ingest
from realtime.sources.microphone.opus import OpusDecoder
from realtime.sources.microphone.packet_order import Packet, PacketOrder
from tests.support.fakes import SentPacket, deliver, microphone, opus_packets
from tests.support.sounds import buzz

SECONDS = 12
BUZZ = opus_packets(buzz(SECONDS * 50), 32_000)
COPIES = [OpusDecoder().recover(payload, 960) is not None for payload in BUZZ]
"""Whether each holds a copy of the one before; none is made of a pause."""


def packet(sequence: int) -> Packet:
    return Packet(sequence, sequence * 960, 960, b"")


def taken(order: PacketOrder) -> list[int]:
    """What can be taken now without giving anything up."""
    numbers = []
    while order.first is not None and not order.missing:
        numbers.append(order.take().sequence)
    return numbers


def test_what_is_expected_can_be_taken_at_once_and_the_rest_waits() -> None:
    order = PacketOrder()
    order.start(5)
    assert order.put(packet(5))
    assert taken(order) == [5]
    assert order.put(packet(8))
    assert order.put(packet(7))
    assert taken(order) == []
    assert order.missing == 1
    assert order.put(packet(6))
    assert taken(order) == [6, 7, 8]
    assert order.first is None


def test_who_was_given_up_has_had_its_turn() -> None:
    order = PacketOrder()
    order.put(packet(3))
    assert order.take().sequence == 3
    assert not order.put(packet(2))
    assert order.put(packet(4))


def test_a_jump_is_waited_for_no_longer_and_one_back_starts_anew() -> None:
    order = PacketOrder()
    order.start(100)
    order.put(packet(149))
    assert not order.full
    order.put(packet(150))
    assert order.full
    assert [order.take().sequence, order.take().sequence] == [149, 150]
    assert order.put(packet(101))
    assert taken(order) == [101]


@given(st.lists(st.integers(0, 300), max_size=200))
def test_packets_leave_once_in_order_and_few_are_held(numbers: list[int]) -> None:
    order = PacketOrder()
    left: list[int] = []
    for number in numbers:
        if number < max(left, default=0) - 49:
            left.clear()  # it starts anew
        order.put(packet(number))
        while order.first is not None and (not order.missing or order.full):
            left.append(order.take().sequence)
        assert len(order._held) <= 50
    assert left == sorted(set(left))


def heard(packets: Iterable[SentPacket], **config: float) -> tuple[Ingest, NDArray[np.int16]]:
    """The voice that comes out of real Opus packets, int16 [n]."""
    ingest = Ingest(IngestConfig(**config))
    ingest.start(0.0)
    hops: list[Hop] = deliver(ingest, packets, SECONDS)
    return ingest, np.concatenate([hop.voice for hop in hops])


def overtaken(every: int, phase: int, after_s: float) -> list[SentPacket]:
    """Each `every`th packet arrives `after_s` after its successor."""
    packets = microphone(BUZZ)
    for n in range(phase, len(packets) - 1, every):
        packets[n] = replace(packets[n], arrival=packets[n + 1].arrival + after_s)
    return packets


@pytest.mark.parametrize("after_s", [0.0001, 0.001, 0.006, 0.0099])
def test_a_packet_overtaken_in_time_for_its_hop_costs_nothing(after_s: float) -> None:
    _, clean = heard(microphone(BUZZ))
    ingest, got = heard(overtaken(10, 4, after_s))
    assert np.array_equal(got, clean)
    assert ingest.stats.late == ingest.stats.recovered == ingest.stats.concealed_samples == 0
    assert ingest.stats.lost == ingest.stats.inserted_ms == 0


@pytest.mark.parametrize("after_s", [0.001, 0.006])
def test_packets_overtaken_too_late_for_their_hop_are_given_time(after_s: float) -> None:
    ingest, got = heard(overtaken(10, 5, after_s))
    assert ingest.stats.late == 2  # the second one shows that there will be more
    assert ingest.stats.inserted_ms == 20
    _, two_lost = heard(p for n, p in enumerate(microphone(BUZZ)) if n not in (5, 15))
    assert np.array_equal(got[48_960:], two_lost[48_000:-960])


def test_packets_in_order_are_decoded_as_they_come() -> None:
    ingest = Ingest()
    ingest.start(0.0)
    for sent in microphone(BUZZ[:50]):
        ingest.push(sent.rtp_timestamp, sent.sequence, sent.payload, sent.arrival)
        hops = ingest.pull(sent.arrival)
        assert len(hops) == sent.sequence % 2
        assert all(hop.arrived == sent.arrival for hop in hops)


def test_a_lost_packet_is_recovered_from_the_next_before_its_hop_is_given_up() -> None:
    """Where it is the first of its hop, and the next has a copy; not where it is the second."""
    ingest, got = heard(p for n, p in enumerate(microphone(BUZZ)) if n not in (8, 20, 35))
    _, clean = heard(microphone(BUZZ))
    assert ingest.stats.recovered == 3
    assert ingest.stats.lost == 3
    assert ingest.stats.concealed_samples == 320
    assert ingest.stats.late == ingest.stats.inserted_ms == 0
    for n in (8, 20):
        a, b = (x[n * 960 : (n + 1) * 960].astype(float) for x in (clean, got))
        assert np.corrcoef(a, b)[0, 1] > 0.6
        assert 0.5 < np.std(b) / np.std(a) < 1.6


@pytest.mark.parametrize("run", [1, 2, 3])
@pytest.mark.parametrize("phase", [0, 1])
def test_lost_packets_cost_what_the_next_one_has_no_copy_of(run: int, phase: int) -> None:
    """Every few packets `run` in a row are lost; hops begin at even packets."""
    lost = {n for n in range(4, len(BUZZ) - 4) if (n - phase) % 4 < run}
    ingest, _ = heard(p for n, p in enumerate(microphone(BUZZ)) if n not in lost)
    last = {n for n in lost if n + 1 not in lost and COPIES[n + 1]}
    assert ingest.stats.lost == len(lost)
    assert ingest.stats.recovered == len(last)
    in_time = {n for n in last if n % 2 == 0}  # the next comes before the hop must leave
    assert ingest.stats.concealed_samples == 320 * len(lost - in_time)
    assert ingest.stats.late == ingest.stats.inserted_ms == 0


def test_garbage_among_packets_is_counted_and_harms_only_itself() -> None:
    packets = microphone(BUZZ)
    packets[20] = replace(packets[20], payload=b"\xff\xff\xff")
    ingest, got = heard(packets)
    _, without = heard(p for n, p in enumerate(microphone(BUZZ)) if n != 20)
    assert ingest.stats.undecodable == 1
    assert np.array_equal(got, without)
