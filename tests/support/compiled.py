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
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

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

    held: Callable[..., Any] = JITFunction.run
    JITFunction.run = compile_it
    try:
        with interpreted():
            yield found
    finally:
        JITFunction.run = held


def _type_of(value: object) -> str:
    if isinstance(value, Tensor):
        return "*" + _TYPES[value.dtype]
    return {bool: "i1", int: "i32", float: "fp32"}[type(value)]
