"""What kernels are compared with: twins that compute in float64 all the way what is given so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.gpu.kernels import OPS, Call, as_numbers_of, written
from kernels.log_mel import mel_bins
from tests.kernels.test_flow_inversion import lattices
from tests.kernels.test_flow_warp import flow, values
from tests.kernels.test_log_mel import tables
from tests.kernels.test_nearest_codes import made as cells_of
from tests.kernels.test_norm_swish import maps
from tests.kernels.test_paste_back import behind, squares
from tests.kernels.test_paste_lower import clips
from tests.kernels.test_portrait_frame import places, table
from tests.kernels.test_shown_squares import made as squares_of

ROWS = torch.tensor([0, 1])


def planes(pixels: int) -> Tensor:
    return torch.zeros(2, pixels * 3 // 2, dtype=torch.uint8)


def inverted() -> tuple[Any, ...]:
    moves, shape, to, start, carried = lattices(2, 7, 5, 35, 9, 2)
    return moves, shape, to, start, torch.full((2,), 9, dtype=torch.int32), carried, 5


def heard() -> tuple[Any, ...]:
    window, weights = tables(40, 33, 16)
    return values(2, 72), window, weights, mel_bins(weights)


def blended() -> tuple[Any, ...]:
    return values(2, 3), values(2, 3, 2, 7), ROWS, torch.full((2,), 7, dtype=torch.int32)


def frame() -> tuple[Any, ...]:
    return table((20, 38), 30, 2), places((20, 38), 30, 2, 2), ROWS, (20, 38), planes(20 * 38)


def shown() -> tuple[Any, ...]:
    *drawn, resting, fade = squares_of(2, 8, 0.5)
    return *drawn, resting, ROWS, fade, 0.8


def pasted() -> tuple[Any, ...]:
    return squares(2, 5), ROWS, behind(60, 7, 0), (10, 6), 1, planes(60)


def lower() -> tuple[Any, ...]:
    halves = values(2, 3, 4, 8).sigmoid()
    return halves, values(2, 3, 3) * 0.1, ROWS, clips((10, 8), (2, 4), 1, 0), (10, 8), planes(80)


Y, STYLE = values(2, 6, 4, 4), values(2, 6, seed=1)
LEAKY = STYLE.exp(), values(6)
GRID, MASK = flow(2, 4)
COLOURS = values(3, 3, 4, 4), GRID, MASK, ROWS, values(3, 3), values(2, 3, 4, 4)
CALLS: dict[str, Callable[[], Sequence[Any]]] = {
    "portrait_frame": frame,
    "invert": inverted,
    "blend": blended,
    "log_mel": heard,
    "paste_lower": lower,
    "nearest_codes": lambda: (*cells_of(1, 9, 2, 5, 4, torch.float32), 0.1),
    "group_norm_swish": lambda: (*maps((2, 6, 4, 4), torch.float32), 3, 1e-6),
    "pixel_norm_swish": lambda: (*maps((2, 6, 4, 4), torch.float32), 1e-6),
    "demodulate": lambda: (Y, *LEAKY, STYLE),
    "smooth_demodulate": lambda: (Y, values(6, 1, 4, 4), *LEAKY, STYLE),
    "flow_head": lambda: (Y, values(3, 6), STYLE, values(3), GRID[:1], values(2, 3, 2, 2)),
    "shown_squares": shown,
    "warp_blend": lambda: (Y, GRID, MASK, values(48, 6), ROWS, STYLE),
    "warp_colours": lambda: (*COLOURS, values(2, 3, 2, 2)),
    "paste_back": pasted,
}
NAMED = {"log_mel": {"step": 16, "floor": 1e-10}}
EVEN = {"nearest_codes"}  # what it gives are rows of its book, which are rounded nowhere


class _Rounded(TorchDispatchMode):
    """Notes operations that give float32, unless all of it are whole numbers and halves."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: object, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        given = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(given):
            if isinstance(leaf, Tensor) and leaf.dtype is torch.float32:
                twice = 2.0 * leaf.double()
                if not torch.equal(twice, twice.round()):
                    self.found.add(func._schema.name)
        return given


def test_all_are_tried() -> None:
    assert CALLS.keys() == {op.name for op in OPS}


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_what_is_given_in_float64_is_computed_so(op: Any) -> None:
    given = op.bound(CALLS[op.name](), NAMED.get(op.name, {}))
    call = Call(op, as_numbers_of(given, torch.float64))
    with torch.inference_mode():
        with _Rounded() as rounded:
            exact = written(call.arguments, call.run())
        assert not rounded.found
        call = Call(op, as_numbers_of(given, torch.float32))
        plain = written(call.arguments, call.run())
    unlike = False
    for wide, narrow in zip(exact, plain, strict=True):
        if not wide.is_floating_point():
            continue
        assert (wide.dtype, narrow.dtype) == (torch.float64, torch.float32)
        assert torch.allclose(narrow.double(), wide, rtol=1e-3, atol=1e-4)  # of the same thing
        unlike |= not torch.equal(narrow.double(), wide)
    assert unlike or op.name in EVEN or not any(each.is_floating_point() for each in exact)


def test_what_rounds_is_noticed() -> None:
    with _Rounded() as rounded:
        assert (torch.arange(3) + 0.5).sum() == 4.5
        assert not rounded.found
        torch.rand(3, dtype=torch.float64).float()
    assert rounded.found
