"""Walks a step without running it, and tells what of it no CUDA graph could capture.

The step is called once with tensors that have shapes and no values, so that whatever depends on a
value shows; every call into PyTorch is looked at on its way. What is found has the operation's name
and the line that made it.

The device is called "cpu" here, and what existed before the step counts as lying on it, but for
constants of modules. Or it is PyTorch's "meta", if whatever takes part in the step was built there:
then all that an operation finds elsewhere lies on the host, whoever holds it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipelines.streaming import fixed_shapes

_ROOT = Path(__file__).resolve().parents[2]
# An environment may lie inside the repository, as the `.venv` of `make install` does.
_NOT_OURS = str(Path(sys.prefix).resolve())
_READS = "reads a value back from the device"
_SHAPE = "makes a shape that depends on values"
_HOST = "makes a tensor on the host and copies it"
_MOVES = "copies between devices"

_READING = {
    "item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__", "__array__",
    "__contains__", "__repr__", "__str__", "__format__", "equal", "allclose", "is_nonzero",
    # whether they succeeded, which `_ex` forms leave to the caller
    "inverse", "cholesky", "linalg_inv", "linalg_solve", "linalg_cholesky", "linalg_lstsq",
    "linalg_eigh", "linalg_svd", "linalg_qr", "linalg_eig", "linalg_eigvals", "linalg_eigvalsh",
    "linalg_svdvals", "linalg_pinv", "linalg_matrix_rank", "linalg_cond", "pinverse", "svd", "qr",
}  # fmt: skip
_COPYING = {"tensor", "as_tensor", "asarray", "from_numpy", "frombuffer", "new_tensor"}
_MOVING = {"cpu", "cuda"}
_MADE_OF_NOTHING = {
    "zeros", "ones", "empty", "full", "arange", "linspace", "logspace", "eye", "rand", "randn",
    "randint", "randperm", "hann_window", "scalar_tensor", "tril_indices", "triu_indices",
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """op: its name. line: the line of our code. why: what is wrong with it."""

    op: str
    line: str
    why: str

    def __str__(self) -> str:
        return f"{self.op} {self.why}: {self.line}"


def faults_of(step: Callable[..., object], *inputs: object, device: str = "cpu") -> list[Fault]:
    """What of `step(*inputs)` cannot be captured, in order; up to the first that stops it."""
    found: dict[Fault, None] = {}
    fakes = FakeTensorMode(allow_non_fake_inputs=True) if device == "cpu" else nullcontext()
    constants = _constants_of_modules()
    try:
        operations = _Operations(found, constants, device)
        with torch.inference_mode(), fixed_shapes(), _Calls(found, operations), fakes, operations:
            step(*inputs)
    except DynamicOutputShapeException as error:
        found.setdefault(Fault(str(error.func), _line_of(error), _SHAPE), None)
    except DataDependentOutputException as error:
        found.setdefault(Fault(str(error.func), _line_of(error), _READS), None)
    except Exception as error:
        if not found:
            raise AssertionError(f"the step could not be walked: {error}") from error
    return list(found)


def check_step(step: Callable[..., object], *inputs: object, device: str = "cpu") -> None:
    """Fail, naming operations and lines, where `step(*inputs)` cannot be captured."""
    found = faults_of(step, *inputs, device=device)
    assert not found, "not to be captured:\n" + "\n".join(map(str, found))


class _Calls(TorchFunctionMode):
    """Looks at calls as they are written."""

    def __init__(self, found: dict[Fault, None], operations: _Operations) -> None:
        super().__init__()
        self._found = found
        self._operations = operations

    def __torch_function__(
        self, func: Any, types: object, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        why = _wrong_call(getattr(func, "__name__", ""), args, kwargs)
        if why:
            self._found[Fault(_name_of(func), _line(), why)] = None
        with self._operations.filling(func is Tensor.__setitem__ and not torch.is_tensor(args[2])):
            return func(*args, **kwargs)


def _wrong_call(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> str:
    if name in _READING:
        return _READS
    if name in _COPYING:
        return _HOST
    if name in _MOVING or (name == "to" and _names_a_device([*args[1:], *kwargs.values()])):
        return _MOVES
    if name in _MADE_OF_NOTHING and kwargs.get("device") is None:
        return _HOST
    if name in ("__getitem__", "__setitem__") and _has_numbers(args[1]):
        return _HOST
    if name == "where" and len(args) + len(kwargs) == 1:
        return _SHAPE
    return ""


def _names_a_device(given: Sequence[object]) -> bool:
    """By name: a device that somebody carries is the one the step runs on."""
    return any(isinstance(each, str) for each in given)


def _has_numbers(index: object) -> bool:
    """An index with a list in it is a tensor that is made on the host, each time."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, (list, tuple, range, np.ndarray)) for part in parts)


class _Operations(TorchDispatchMode):
    """Looks at operations as they reach the device, whoever called them."""

    def __init__(self, found: dict[Fault, None], constants: dict[int, str], device: str) -> None:
        super().__init__()
        self._found = found
        self._constants = constants
        self._device = torch.device(device)
        self._filling = False

    @contextmanager
    def filling(self, yes: bool) -> Iterator[None]:
        """While a number is assigned to a part, which makes a tensor of it on a CPU alone."""
        held, self._filling = self._filling, yes
        try:
            yield
        finally:
            self._filling = held

    def __torch_dispatch__(
        self, func: Any, types: object, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        leaves = tree_leaves((args, kwargs))
        tensors = [each for each in leaves if isinstance(each, Tensor)]
        for why in self._wrong(func, tensors):
            self._found.setdefault(Fault(str(func), _line(), why), None)
        if any(isinstance(each, torch.device) and each != self._device for each in leaves):
            self._found.setdefault(Fault(str(func), _line(), _MOVES), None)
        return func(*args, **(kwargs or {}))

    def _wrong(self, func: Any, tensors: Sequence[Tensor]) -> Iterator[str]:
        packet = func.overloadpacket
        if packet in (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_):
            if any(each.dtype in (torch.bool, torch.uint8) for each in tensors[1:]):
                yield _SHAPE
        elif torch.Tag.dynamic_output_shape in func.tags:
            yield _SHAPE
        elif torch.Tag.data_dependent_output in func.tags:
            yield _READS
        if packet is torch.ops.aten.lift_fresh and not self._filling:
            yield _HOST
        for each in tensors:
            if id(each) in self._constants:
                yield f"takes {self._constants[id(each)]}, which lies on the host"
            elif each.device != self._device and not self._filling:
                yield f"takes {tuple(each.shape)} of {each.dtype}, which lies on the host"


def _constants_of_modules() -> dict[int, str]:
    """Tensors that are variables of our modules, by their id: their names."""
    return {
        id(value): f"{module.__name__}.{name}"
        for module in list(sys.modules.values())
        if _is_ours(str(getattr(module, "__file__", None) or ""))
        for name, value in vars(module).items()
        # By its type: asked for `__class__`, some objects (PyTorch's old names) warn.
        if issubclass(type(value), Tensor)
    }


def _is_ours(file: str) -> bool:
    return file.startswith(str(_ROOT)) and not file.startswith((sys.prefix, _NOT_OURS))


def _name_of(func: Any) -> str:
    return resolve_name(func) or str(getattr(func, "__name__", func))


def _line() -> str:
    """The innermost line of ours on the way to here."""
    return _innermost(traceback.extract_stack())


def _line_of(error: Exception) -> str:
    return _innermost(traceback.extract_tb(error.__traceback__))


def _innermost(stack: traceback.StackSummary) -> str:
    for frame in reversed(stack):
        if _is_ours(frame.filename) and frame.filename != __file__:
            path = Path(frame.filename).relative_to(_ROOT)
            return f"{path}:{frame.lineno}: {frame.line}"
    return "outside of our code"
