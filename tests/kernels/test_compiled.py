"""Kernels are taken by Triton's compiler, not only by its interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from kernels.blend import blend
from kernels.flow_inversion import invert
from kernels.paste_back import paste_back
from kernels.paste_lower import paste_lower
from kernels.portrait_frame import portrait_frame
from tests.kernels.test_flow_inversion import lattices
from tests.kernels.test_paste_back import behind, squares
from tests.kernels.test_paste_lower import clips
from tests.kernels.test_portrait_frame import places, table

# What calls each operation, and the kernels that it launches.
PORTRAIT = """
from tests.kernels.test_flow_inversion import lattices
from tests.kernels.test_portrait_frame import places, table
from kernels.blend import blend
from kernels.flow_inversion import invert
from kernels.portrait_frame import portrait_frame

ones = torch.ones(1, dtype=torch.int32)
moves, shape, to, start, carried = lattices(1, 7, 5, 35, 9, 2)
rows, planes = torch.zeros(1, dtype=torch.int64), torch.zeros(1, 384, dtype=torch.uint8)
with compiled_only() as found:
    blend(torch.ones(1, 2), torch.ones(1, 2, 1, 3), rows, ones)
    invert(moves, shape, to, start, 9 * ones, carried, 5)
    portrait_frame(table((16, 16), 16, 2), places((16, 16), 16, 2, 1), rows, (16, 16), planes)
"""

LOG_MEL = """
from pipelines.audio.mel import LogMel

mel = LogMel()
with compiled_only() as found:
    mel(torch.zeros(2, mel.hop))
"""
ANITALKER = """
from kernels.demodulate import demodulate, smooth_demodulate
from kernels.flow_head import flow_head
from kernels.flow_warp import warp_blend, warp_colours
from kernels.paste_back import paste_back
from kernels.shown_squares import shown_squares
from tests.kernels.test_paste_back import behind, squares

rows, power, bias = torch.zeros(2, dtype=torch.int64), torch.ones(2, 6), torch.ones(6)
grid, mask, planes = torch.zeros(2, 2, 4, 4), torch.zeros(2, 1, 4, 4), torch.zeros(2, 96).byte()
with compiled_only() as found:
    for dtype in (torch.float32, torch.bfloat16):
        y, table = torch.zeros(2, 6, 4, 4, dtype=dtype), torch.zeros(48, 6, dtype=dtype)
        demodulate(y, power, bias)
        smooth_demodulate(y, torch.zeros(6, 1, 4, 4, dtype=dtype), power, bias, power)
        flow_head(y, torch.zeros(3, 6), power, torch.zeros(3), grid[:1], torch.zeros(2, 3, 2, 2))
        warp_blend(y, grid, mask, table, rows, power)
        painted, last = torch.zeros(2, 3, 4, 4, dtype=dtype), torch.zeros(2, 3, 2, 2)
        colours = torch.zeros(3, 3, 4, 4), grid, mask, rows, torch.zeros(3, 3)
        warp_colours(*colours, painted, last)
        warp_colours(*colours)
    drawn = torch.zeros(2, 3, 4, 4), grid, mask, torch.zeros(3, 9, 4, 4), rows
    shown_squares(*drawn, torch.zeros(1, 1, 4, 4), 0.8)
    paste_back(squares(2, 4), rows, behind(64, 5, 0), (8, 8), 0, planes)
"""
SWAPTALK = """
from kernels.nearest_codes import nearest_codes
from kernels.norm_swish import group_norm_swish, pixel_norm_swish
from kernels.paste_lower import paste_lower
from tests.kernels.test_nearest_codes import made
from tests.kernels.test_paste_lower import clips

x, ones, rows = torch.zeros(1, 24, 8, 16), torch.ones(24), torch.zeros(1, dtype=torch.int64)
cells, book, last = made(1, 9, 2, 5, 4, torch.float32)
lower, colours, planes = torch.zeros(1, 3, 4, 8), torch.zeros(1, 3, 3), torch.zeros(1, 96).byte()
with compiled_only() as found:
    nearest_codes(cells, book, last, 0.1)
    nearest_codes(cells, book)
    group_norm_swish(x, ones, ones, 8, 1e-6)
    pixel_norm_swish(x, ones, ones, 1e-6)
    paste_lower(lower, colours, rows, clips((8, 8), (2, 4), 1, 0), (8, 8), planes)
"""
KERNELS = {
    PORTRAIT: {"_blend", "_invert", "_draw"},
    LOG_MEL: {"_log_mel_kernel"},
    ANITALKER: {
        "_demodulate_kernel",
        "_flow_head_kernel",
        "_warp_blend_kernel",
        "_warp_colours_kernel",
        "_shown_squares_kernel",
        "_paste_back_kernel",
    },
    SWAPTALK: {
        "_nearest_codes_kernel",
        "_group_norm_swish_kernel",
        "_pixel_norm_swish_kernel",
        "_paste_lower_kernel",
    },
}


@pytest.mark.slow  # a minute: the frame of `portrait` is a long program
@pytest.mark.parametrize(
    ("program", "kernels"),
    KERNELS.items(),
    ids=["portrait", "log_mel", "anitalker", "swaptalk"],
)
def test_kernels_are_compiled_for_a_hopper_card(program: str, kernels: set[str]) -> None:
    assert told(program).keys() == kernels


# Pipelines as a card has them, full of faces in the largest pictures, at once.
FULL = """
from benchmarks.gpu.pipelines import PIPELINES, SIZES
from pipelines import composed_batched
from pipelines.graph import Eager
from tests.support.compiled import {inside}

composed_batched.row_counts = lambda slots: (slots,)
slots, sizes, found = 128, SIZES[-1:], {{}}
for name, made in PIPELINES.items():
    with {inside}() as kernels:
        with torch.inference_mode():
            renderer = made.renderer(slots, sizes, torch.device("meta"))
        motion = made.motion()
        composed_batched.BatchedPipeline(slots, sizes, motion, renderer, "meta", graphs=Eager())
    found |= {{f"{{name}} {{kernel}}": kernels[kernel] for kernel in kernels}}
"""
WANTED = {
    "portrait": KERNELS[PORTRAIT],
    "anitalker": KERNELS[ANITALKER],
    "swaptalk": KERNELS[SWAPTALK],
}


def names_of_all() -> set[str]:
    return {f"{name} {one}" for name, own in WANTED.items() for one in own | KERNELS[LOG_MEL]}


def test_steps_of_128_faces_ask_for_all_kernels_and_for_nothing_that_a_card_refuses() -> None:
    """No twin takes a kernel's place where tensors do not lie on a CPU."""
    assert told(FULL.format(inside="asked_for")).keys() == names_of_all()


@pytest.mark.slow  # minutes: some forty variants
def test_what_steps_of_128_faces_launch_fits_into_registers() -> None:
    """A thread may have 255, of 65,536 that all share who are on a multiprocessor at once: near
    that few are, and another compiler has to spill."""
    registers = told(FULL.format(inside="compiled_only"))
    assert registers.keys() == names_of_all()
    assert max(registers.values()) < 200, registers


# What draws a picture of any size, at sizes as photos have them, of one face and of more.
SIZES = """
from tests.kernels.test_compiled import drawings

with told_apart() as found:
    for size, faces in (((16, 16), 1), ((16, 16), 2), ((22, 14), 1), ((34, 46), 3)):
        drawings(size, faces)
found = {name: len(variants) for name, variants in found.items()}
"""


def drawings(size: tuple[int, int], faces: int) -> None:
    """All that depends on a picture's size, of the three pipelines."""
    width, height = size
    side, pixels = max(size) // 2 * 2, width * height
    rows = torch.arange(faces) % 2
    planes = torch.zeros(faces, pixels * 3 // 2, dtype=torch.uint8)
    drawn = table(size, side, 2), places(size, side, 2, faces)
    blend(torch.ones(faces, 2), torch.ones(2, 2, 1, pixels), rows, torch.ones(faces).int())
    moves, shape, to, start, carried = lattices(faces, 7, 5, 35, pixels, 2)
    invert(moves, shape, to, start, torch.ones(faces).int(), carried, 5)
    portrait_frame(*drawn, rows, size, planes)
    paste_back(squares(faces, 4), rows, behind(34 * 46, 46, 0), size, 0, planes)  # one rung's
    lower = torch.zeros(faces, 3, 4, 8), torch.zeros(faces, 3, 3), rows
    paste_lower(*lower, clips(size, (2, 4), 1, 0), size, planes)


def test_a_picture_of_another_size_compiles_nothing_anew() -> None:
    """A photo's own size is drawn on the thread that steps, which must not wait for a compiler."""
    assert told(SIZES) == dict.fromkeys(
        ("_blend", "_invert", "_draw", "_paste_back_kernel", "_paste_lower_kernel"), 1
    )


def told(program: str) -> dict[str, int]:
    """What `program` finds, in a process that does not interpret kernels."""
    pytest.importorskip("triton", reason="its compiler")
    environment = {n: value for n, value in os.environ.items() if n != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    before = "import json, torch\nfrom tests.support.compiled import compiled_only, told_apart\n"
    command = [sys.executable, "-c", before + program + "print(json.dumps(found))"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found
