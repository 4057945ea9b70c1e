"""Compiles kernels for a Hopper card where there is none: Triton brings the assembler with it.

In the interpreter a kernel runs as Python, which takes what its compiler does not. This must be a
process without TRITON_INTERPRET.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, make_backend
from triton.runtime.jit import JITFunction, create_function_from_signature

from kernels.dispatch import interpreted

HOPPER = GPUTarget("cuda", 90, 32)
_TYPES = {
    torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16", torch.float64: "fp64",
    torch.uint8: "u8", torch.int32: "i32", torch.int64: "i64", torch.bool: "i1",
}  # fmt: skip


@contextmanager
def compiled_only() -> Iterator[dict[str, int]]:
    """Inside, operations on a CPU's tensors launch kernels, and a launch compiles its kernel and
    runs nothing. Gives the bytes of machine code by the kernel's name."""
    found: dict[str, int] = {}

    def compile_it(kernel: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        options = {n: kwargs.pop(n) for n in ("num_warps", "num_stages") if n in kwargs}
        bound = kernel.signature.bind(*args, **kwargs).arguments
        constants = {p.name: bound[p.name] for p in kernel.params if p.is_constexpr}
        signature = {name: "constexpr" if name in constants else _type_of(value)
                     for name, value in bound.items()}  # fmt: skip
        source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
        made = triton.compile(source, target=HOPPER, options=options)
        found[kernel.__name__] = len(made.asm["cubin"])

    with _launching(compile_it):
        yield found


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
def asked_for() -> Iterator[set[str]]:
    """As `compiled_only`, but nothing is compiled, and tensors lie on PyTorch's "meta" device: of
    any size, for they hold nothing. Gives the kernels' names.

    Raises:
        AssertionError: a launch that a card would refuse, or of which a kernel would read wrongly.
    """
    found: set[str] = set()

    def look(kernel: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        kwargs.pop("num_warps", None)
        name, (x, y, z) = kernel.__name__, (*grid, 1, 1)[:3]
        found.add(name)
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


def _type_of(value: object) -> str:
    if isinstance(value, Tensor):
        return "*" + _TYPES[value.dtype]
    return {bool: "i1", int: "i32", float: "fp32"}[type(value)]
