"""What crosses between processes, and in which memory pictures do; and waiting before a restart."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import av
import numpy as np
import pytest

from pipelines.batch import frame_bytes
from realtime.engine import wire
from realtime.engine.memory import Layout, PictureMemory, create_memory, video_frame
from realtime.engine.supervisor import BackOff
from realtime.engine.turns import WaitingHop
from realtime.errors import AtCapacity
from realtime.media import HOP_SAMPLES


def test_hops_survive_the_wire():
    samples = np.linspace(-1, 1, HOP_SAMPLES, dtype=np.float32)
    for listens, unseen in ((False, False), (True, False), (False, True)):
        sent = WaitingHop(1280, samples, True, 12.5, listens, unseen)
        stream, hop = wire.unpack_hop(wire.pack_hop(7, sent))
        assert (stream, hop.start, hop.speech, hop.sent) == (7, 1280, True, 12.5)
        assert (hop.listens, hop.unseen) == (listens, unseen)
        assert (hop.samples == samples).all()
    assert wire.unpack_clear(wire.pack_clear(9)) == 9


def test_frames_survive_the_wire():
    motion = np.arange(52, dtype=np.float32)
    frame = wire.FrameMessage(
        7, 1 << 40, 2, True, 1, 1, 63, 1280, 720, 0.25, 0.5, 3, 100_000, 5, motion
    )
    again = wire.unpack_frame(wire.pack_frame(frame))
    assert again[:-1] == frame[:-1]
    assert again.size == (1280, 720)
    assert (again.motion == motion).all()


def test_refusals_survive_the_wire():
    reply = wire.Reply(3, None, AtCapacity("full", retry_after_s=9))
    again = wire.unpack(wire.pack(wire.REPLY, reply))
    assert isinstance(again.error, AtCapacity)
    assert (str(again.error), again.error.retry_after_s) == ("full", 9)


def test_a_message_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="65536 bytes"):
        wire.pack(wire.CALL, wire.Call(1, "load", (b"x" * wire.MESSAGE_BYTES,)))


def test_an_outbox_waits_for_its_reader_keeps_order_and_has_an_end():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        outbox = wire.Outbox(ours, most=10)
        sent = [n for n in range(10_000) if outbox.send(n.to_bytes(4, "big") * 500)]
        assert sent == list(range(len(sent)))  # then it was full
        assert outbox.send(b"must", must=True)
        assert outbox
        got = []
        while outbox or len(got) <= len(sent):
            got.append(theirs.recv(wire.MESSAGE_BYTES)[:4])
            outbox.flush()
        assert got == [n.to_bytes(4, "big") for n in sent] + [b"must"]


@pytest.fixture
def memories():
    """Picture memory as its maker sees it, and as another process that got its descriptor."""
    layout = Layout("p", 3, ((64, 36), (318, 180)), 4)
    descriptor = create_memory(layout)
    yield PictureMemory(layout, descriptor), PictureMemory(layout, descriptor)
    os.close(descriptor)


def test_memory_is_shared_and_its_batches_are_apart(memories):
    ours, theirs = memories
    for n, batch in enumerate(ours.batches):
        batch.planes[:] = n + 1
        batch.motion[:] = 10 * n
    for n, batch in enumerate(theirs.batches):
        assert (batch.planes == n + 1).all()
        assert (batch.motion == 10 * n).all()
        assert batch.hops.ctypes.data % 64 == 0
    assert not ours.taken.any()


def test_a_place_is_given_back_when_its_picture_was_copied(memories):
    ours, theirs = memories
    ours.batches[1].planes[2] = 90
    ours.taken[1, 2] = True
    assert ours.has_place(2)
    assert ours.roomiest([2]) == 0
    assert ours.roomiest([0, 1]) == 0
    ours.taken[0, 2] = True
    assert not ours.has_place(2)
    picture = theirs.take(1, 2, (64, 36))
    ours.batches[1].planes[2] = 17
    assert picture.to_ndarray().max() == 90
    assert ours.has_place(2)
    assert ours.roomiest([2]) == 1


@pytest.mark.parametrize("size", [(64, 36), (318, 180), (512, 512), (1280, 720), (2, 2)])
def test_pictures_keep_their_pixels_whatever_the_width_of_a_line(size):
    width, height = size
    planes = np.random.default_rng(0).integers(0, 256, frame_bytes(size), np.uint8)
    frame = video_frame(np.concatenate([planes, [0, 0]]).astype(np.uint8), size)
    assert (frame.width, frame.height, frame.format.name) == (width, height, "yuv420p")
    shape = (height * 3 // 2, width)
    assert (frame.to_ndarray().reshape(shape) == planes.reshape(shape)).all()
    assert isinstance(frame, av.VideoFrame)


def test_nothing_of_the_engine_imports_tensors_by_itself():
    """Neither a media process nor the inference process before it builds a pipeline."""
    modules = "realtime.engine.client, realtime.engine.process, realtime.engine.local"
    check = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_waiting_before_a_restart_grows_and_ends():
    back_off = BackOff()
    waits = [back_off.failed(float(n)) for n in range(9)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, None]
    assert back_off.failed(10_000.0) == 0.5  # what failed long ago is forgotten
