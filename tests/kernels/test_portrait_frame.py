"""A frame drawn in one pass: the kernel against its twin, on random faces a few pixels small. What
the twin draws is compared with the CPU's renderer in tests/pipelines/test_portrait_batched.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from kernels.bounds import H100, H200
from kernels.dispatch import interpreted
from kernels.portrait_frame import portrait_frame, work
from kernels.portrait_layout import STRIP, Faces, Placed, Real, Whole

# width, height, side of the canvas, pixels between nodes of a patch, frames
CASES = [(2, 2, 2, 1, 1), (16, 16, 16, 2, 2), (34, 18, 18, 3, 1), (20, 38, 30, 2, 1)]
FACES = 3


def table(size: tuple[int, int], side: int, fine: int) -> Faces:
    """Three faces of noise."""
    random = torch.Generator().manual_seed(side)
    whole = torch.zeros(FACES, len(Whole), dtype=torch.int32)
    margin = max(1, side // 8)
    for column, value in {
        Whole.LEFT: size[0] // 8 * 2,
        Whole.RIGHT: min(size[0], size[0] // 8 * 2 + side),
        Whole.BOTTOM: min(size[1], side),
        Whole.STEP: 2,
        Whole.COLUMNS: side // 2 + 1,
        Whole.ROWS: side // 2 + 1,
        Whole.PERSON: side + 2 * margin,
        Whole.MARGIN: margin,
        Whole.FINE: fine,
        Whole.MOUTH_COLUMNS: 5,
        Whole.MOUTH_ROWS: 4,
        Whole.EYE_COLUMNS: 4,
        Whole.EYE_ROWS: 3,
        Whole.MOUTH_WIDTH: 7,
        Whole.MOUTH_HEIGHT: 5,
        Whole.EYE_WIDTH: 6,
        Whole.EYE_HEIGHT: 4,
    }.items():
        whole[:, column] = value

    def picture(*shape: int) -> Tensor:
        pixels = torch.randint(0, 256, (FACES, *shape), generator=random, dtype=torch.int32)
        return pixels.to(torch.uint8)

    def real(*shape: int) -> Tensor:
        return torch.rand(FACES, *shape, generator=random)

    reals = real(Real.LASHES + 3)
    reals[:, Real.STRIP_X] = STRIP / side
    return Faces(
        person=picture((side + 2 * margin) ** 2 + 3, 4),
        behind=picture(size[0] * size[1], 3),
        mouth=picture(3, 7 * 5 + 2, 4),
        eyes=picture(2, 4, 6 * 4 + 1, 4),
        lids=real(2, 6 * 4 + 1, 4),
        lips=real(2, 3, STRIP),
        whole=whole,
        real=reals + 0.1,
    )


def places(size: tuple[int, int], side: int, fine: int, n: int) -> Placed:
    """Skins that point anywhere, and patches that overlap and leave the frame."""
    random = torch.Generator().manual_seed(side + 1)

    def real(*shape: int) -> Tensor:
        return torch.randn(n, *shape, generator=random)

    def nodes(count: int, *shape: int) -> Tensor:
        held = real(*shape, count)
        held[..., :2, :] = side * (0.5 + 0.4 * held[..., :2, :])
        held[..., 2, :] *= 0.1
        return held

    even = fine % 2
    boxes = torch.tensor([[-3, 1, 4, 3], [4, -1, 3, 2], [9, 3, 3, 2]], dtype=torch.int32)
    boxes[:, 2:] = boxes[:, 2:] * fine + even
    return Placed(
        base=nodes((side // 2 + 1) ** 2 + 5, 3),
        mouth=nodes(5 * 4 + 3, 2, 4),
        eyes=nodes(4 * 3 + 2, 2, 2, 4),
        boxes=boxes.repeat(n, 1, 1),
        maps=real(7, 6) * 0.5,
        shut=torch.rand(n, 2, generator=random),
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_kernel_draws_what_its_twin_draws(case: tuple[int, int, int, int, int]) -> None:
    pytest.importorskip("triton", reason="kernels run in Triton's interpreter here")
    width, height, side, fine, n = case
    faces, placed = table((width, height), side, fine), places((width, height), side, fine, n)
    rows = torch.tensor([2, 0])[:n]
    drawn, by_kernel = (torch.zeros(n, width * height * 3 // 2, dtype=torch.uint8) for _ in "ab")
    portrait_frame(faces, placed, rows, (width, height), drawn)
    with interpreted():
        portrait_frame(faces, placed, rows, (width, height), by_kernel)
    # A step of a byte where sums of products in another order fall on the other side of it.
    assert (drawn.int() - by_kernel.int()).abs().max() <= 1
    assert drawn.float().std() > 10.0


# Numpy, in which kernels are interpreted, says so of a cast that a card makes in silence.
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("kernel", [False, True], ids=["twin", "kernel"])
def test_places_that_are_no_numbers_spoil_their_own_frame_only(kernel: bool) -> None:
    if kernel:
        pytest.importorskip("triton", reason="kernels run in Triton's interpreter here")
    faces, placed = table((16, 16), 16, 2), places((16, 16), 16, 2, 2)
    drawn, again = (torch.zeros(2, 16 * 16 * 3 // 2, dtype=torch.uint8) for _ in "ab")
    rows = torch.tensor([0, 0])
    portrait_frame(faces, placed, rows, (16, 16), drawn)
    for held in (placed.base, placed.mouth, placed.eyes, placed.maps, placed.shut):
        held[1] = float("nan")
    if kernel:
        with interpreted():
            portrait_frame(faces, placed, rows, (16, 16), again)
    else:
        portrait_frame(faces, placed, rows, (16, 16), again)
    assert (drawn[0].int() - again[0].int()).abs().max() <= 1


@pytest.mark.parametrize("kernel", [False, True], ids=["twin", "kernel"])
def test_light_beyond_white_is_cut_off_before_colours_are_mixed(kernel: bool) -> None:
    """Where half of a pixel is skin, its other half shows as much of itself, however bright."""
    if kernel:
        pytest.importorskip("triton", reason="kernels run in Triton's interpreter here")
    faces, placed = table((16, 16), 16, 2), places((16, 16), 16, 2, 1)
    faces.person.fill_(255)
    rows, frames = torch.tensor([0]), []
    for shade in (0.0, 2.0):
        for nodes in (placed.base, placed.mouth, placed.eyes):
            nodes[..., 2, :] = shade
        planes = torch.zeros(1, 16 * 16 * 3 // 2, dtype=torch.uint8)
        if kernel:
            with interpreted():
                portrait_frame(faces, placed, rows, (16, 16), planes)
        else:
            portrait_frame(faces, placed, rows, (16, 16), planes)
        frames.append(planes.int())
    assert (frames[0] - frames[1]).abs().max() <= 1
    assert frames[0].float().std() > 10.0, "patches show through white skin"


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    faces, placed = table((16, 16), 16, 2), places((16, 16), 16, 2, 1)
    rows, planes = torch.tensor([0]), torch.zeros(1, 384, dtype=torch.uint8)
    with pytest.raises(ValueError, match="even"):
        portrait_frame(faces, placed, rows, (15, 16), planes)
    with pytest.raises(ValueError, match="go into planes"):
        portrait_frame(faces, placed, rows, (16, 18), planes)
    with pytest.raises(ValueError, match="cannot be drawn at"):
        portrait_frame(faces, placed, rows, (8, 8), planes[:, :96])
    askew = replace(placed, maps=placed.maps.transpose(1, 2).contiguous().transpose(1, 2))
    with pytest.raises(ValueError, match="contiguous"):
        portrait_frame(faces, askew, rows, (16, 16), planes)


def test_a_frame_is_bound_by_memory_on_both_cards() -> None:
    one = work(64, (512, 512))
    assert one.least_s(H200) < one.least_s(H100) == one.bytes / H100.bytes_per_s
