"""Compiles kernels for a Hopper card where there is none: Triton brings the assembler with it.

In the interpreter a kernel runs as Python, which takes what its compiler does not. This must be a
process without TRITON_INTERPRET.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, make_backend
from triton.runtime.jit import JITFunction, create_function_from_signature

from kernels.dispatch import interpreted

HOPPER = GPUTarget("cuda", 90, 32)
_ASSEMBLER = str(Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas")


@contextmanager
def compiled_only() -> Iterator[dict[str, int]]:
    """Inside, operations on a CPU's tensors launch kernels, and a launch compiles its kernel as a
    card would for these arguments, and runs nothing. Gives by the kernel's name the registers that
    a thread takes, of its hungriest variant.

    Raises:
        AssertionError: a kernel has more at once than registers hold.
    """
    found: dict[str, int] = {}
    backend, seen = make_backend(HOPPER), set()

    def compile_it(kernel: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        bind = create_function_from_signature(kernel.signature, kernel.params, backend)
        bound, variant, options = bind(*args, **kwargs)
        called = f"{kernel.__name__} {variant} {options}"
        if called in seen:
            return
        seen.add(called)
        packed = kernel._pack_args(backend, kwargs, bound, variant, options)
        options, signature, constants, attributes = packed
        source = ASTSource(kernel, signature, constants, attributes)
        made = triton.compile(source, target=HOPPER, options=options.__dict__)
        registers, spilled = _used(made.asm["ptx"])
        assert not spilled, f"{called}: {spilled} bytes are spilled"
        found[kernel.__name__] = max(registers, found.get(kernel.__name__, 0))

    with _launching(compile_it):
        yield found


def _used(ptx: str) -> tuple[int, int]:
    """Registers of a thread, and bytes that it stores for want of more, by the assembler."""
    found = re.search(r"\.target (\w+)", ptx)
    assert found
    command = [_ASSEMBLER, "-v", f"--gpu-name={found[1]}", "-", "-o", os.devnull]
    told = subprocess.run(command, input=ptx, capture_output=True, text=True, check=True).stderr
    registers, spilled = (
        re.search(r"Used (\d+)", told),
        re.search(r"(\d+) bytes spill stores", told),
    )
    assert registers
    assert spilled
    return int(registers[1]), int(spilled[1])


@contextmanager
def told_apart() -> Iterator[dict[str, set[str]]]:
    """As `compiled_only`, but nothing is compiled: gives by the kernel's name by what a card's
    launches would be told apart, and each compiled for itself: types, alignment, numbers."""
    found: dict[str, set[str]] = {}
    backend = make_backend(HOPPER)

    def tell(kernel: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        bind = create_function_from_signature(kernel.signature, kernel.params, backend)
        _, variant, options = bind(*args, **kwargs)
        found.setdefault(kernel.__name__, set()).add(f"{variant} {options}")

    with _launching(tell):
        yield found


@contextmanager
def asked_for() -> Iterator[dict[str, int]]:
    """As `compiled_only`, but nothing is compiled, and tensors lie on PyTorch's "meta" device: of
    any size, for they hold nothing. Gives the kernels' names.

    Raises:
        AssertionError: a launch that a card would refuse, or of which a kernel would read wrongly.
    """
    found: dict[str, int] = {}

    def look(kernel: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        kwargs.pop("num_warps", None)
        name, (x, y, z) = kernel.__name__, (*grid, 1, 1)[:3]
        found[name] = found.get(name, 0) + 1
        assert 0 < x < 1 << 31, f"{name}: {x} programs"
        assert 0 < y < 1 << 16, f"{name}: {x} x {y} programs"
        assert 0 < z < 1 << 16, f"{name}: {x} x {y} x {z} programs"
        for label, value in kernel.signature.bind(*args, **kwargs).arguments.items():
            if isinstance(value, Tensor):
                assert value.device.type == "meta", f"{name}: {label} lies on the host"
                assert _is_dense(value), f"{name}: {label} is {value.stride()} of {value.shape}"
            elif isinstance(value, int):
                assert abs(value) < 1 << 31, f"{name}: {label} is {value}"

    with _launching(look):
        yield found


def _is_dense(tensor: Tensor) -> bool:
    """Row by row, or pictures with their channels last."""
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return True
    return tensor.is_contiguous()


@contextmanager
def _launching(instead: Callable[..., None]) -> Iterator[None]:
    held: Callable[..., Any] = JITFunction.run
    JITFunction.run = instead
    try:
        with interpreted():
            yield
    finally:
        JITFunction.run = held
