"""The arrays of a step: laid out once, shared as they are, sized by the largest picture."""

from __future__ import annotations

import mmap
import multiprocessing
import subprocess
import sys
from dataclasses import fields
from multiprocessing.shared_memory import SharedMemory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.batch import Batch, frame_bytes

SIZES = ((320, 180), (1280, 720), (512, 512))
EVEN = st.integers(1, 40).map(lambda n: 2 * n)


def fill(name: str) -> None:
    """As another process would: pictures of a number of their own."""
    memory = SharedMemory(name)
    batch = Batch.over(memory.buf, 3, SIZES, 5)
    for slot, size in enumerate(SIZES):
        batch.size[slot] = size
        batch.picture(slot)[:] = slot + 1
    batch.drawn[:] = True
    del batch
    memory.close()


@given(
    st.integers(1, 9), st.lists(st.tuples(EVEN, EVEN), min_size=1, max_size=4), st.integers(0, 60)
)
def test_arrays_have_their_shapes_and_share_no_byte(
    slots: int, sizes: list[tuple[int, int]], motion_dim: int
) -> None:
    batch = Batch.of(slots, sizes, motion_dim)
    arrays = [getattr(batch, field.name) for field in fields(Batch)]
    assert batch.slots == slots
    assert batch.planes.shape == (slots, max(frame_bytes(size) for size in sizes))
    assert batch.motion.shape == (slots, motion_dim)
    for value, array in enumerate(arrays, 1):
        assert not array.any()
        array[...] = value % 2 if array.dtype == bool else value
    for value, array in enumerate(arrays, 1):
        assert (array == (value % 2 if array.dtype == bool else value)).all()


def test_pictures_are_views_at_their_size() -> None:
    batch = Batch.of(3, SIZES, 5)
    for slot, (width, height) in enumerate(SIZES):
        batch.size[slot] = width, height
        batch.picture(slot)[:] = 7
        assert batch.picture(slot).shape == (height * 3 // 2, width)
        assert (batch.planes[slot] == 7).sum() == frame_bytes((width, height))


def test_its_memory_is_its_part_of_a_larger_one() -> None:
    each = Batch.nbytes(3, SIZES, 5)
    whole = memoryview(bytearray(2 * each))
    first, second = (Batch.over(whole[n * each : (n + 1) * each], 3, SIZES, 5) for n in range(2))
    second.memory[:] = 1
    assert second.behaviour.tolist() == [1, 1, 1]
    assert second.draw.all()
    assert not first.memory.any()
    inputs, outputs = second.parts
    second.memory[inputs] = 0
    assert not second.size.any()
    assert second.planes.all()
    second.memory[outputs] = 0
    assert not second.behaviour.any()
    assert not second.motion.any()
    assert second.planes.all()
    assert second.drawn.all()


def test_no_two_batches_share_a_page() -> None:
    """A GPU's driver locks pages, and one that is locked cannot be locked again."""
    places = [Batch.of(1, ((2, 2),), 1).memory.ctypes.data for _ in range(4)]
    assert all(place % mmap.PAGESIZE == 0 for place in places)


def test_tensors_are_of_the_same_memory_and_made_once() -> None:
    batch = Batch.of(2, SIZES, 5)
    batch.tensors["motion"][1] = 3.0
    assert (batch.motion[1] == 3.0).all()
    assert batch.tensors is batch.tensors


def test_another_process_draws_into_the_same_rows() -> None:
    memory = SharedMemory(create=True, size=Batch.nbytes(3, SIZES, 5))
    try:
        child = multiprocessing.get_context("spawn").Process(target=fill, args=(memory.name,))
        child.start()
        child.join()
        batch = Batch.over(memory.buf, 3, SIZES, 5)
        assert batch.drawn.all()
        for slot in range(3):
            assert (batch.picture(slot) == slot + 1).all()
        del batch
    finally:
        memory.close()
        memory.unlink()


@pytest.mark.parametrize("size", [(0, 2), (3, 2), (2, 3), (-2, 2)])
def test_pictures_have_even_edges(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="even and positive"):
        frame_bytes(size)


def test_batches_need_no_torch() -> None:
    script = "import sys, numpy; from pipelines.batch import Batch; Batch.of(1, ((2, 2),), 1)"
    script += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
