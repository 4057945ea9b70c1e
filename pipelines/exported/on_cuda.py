"""A graph as a card can take it whole: for so many slots, without an operation that only CPUs know.

ONNX Runtime's CUDA provider has no kernels for the bitwise operations that counter-based noise is
made of. It would compute them on the CPU: copies back and forth and a wait in every step, and no
CUDA graph at all. In integers below 2^32 they are arithmetic, which it has. Shapes are fixed too,
since what follows from an open one is computed on the CPU.

Needs `onnx`, of the extra `onnx-gpu`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

BITS = 32
"""Of the numbers that noise is made of, see `pipelines.noise`."""
_ONLY_ON_CPUS = ("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift")


def for_cuda(path: Path, slots: int) -> bytes:
    """The graph at `path` for `slots` slots, for a card; what it gives is the same to the bit.

    Raises:
        ValueError: `onnx` is missing, or the graph uses bits otherwise than noise does.
    """
    try:
        import onnx
    except ImportError as error:
        raise ValueError("onnx is missing: pip install 'vivavoce[onnx-gpu]'") from error
    model = onnx.load(path)
    without_bits(model)
    fix_slots(model, slots)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def fix_slots(model: onnx.ModelProto, slots: int) -> None:
    """Give the open dimension of all inputs and outputs, the first of each, that size."""
    del model.graph.value_info[:]  # what was inferred of the open one
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = slots


def without_bits(model: onnx.ModelProto) -> None:
    """Put arithmetic in the place of bitwise operations."""
    constants = dict(_constants(model))
    nodes = []
    for node in model.graph.node:
        if node.op_type in _ONLY_ON_CPUS:
            nodes += _arithmetic(node, constants)
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _constants(model: onnx.ModelProto) -> Iterator[tuple[str, NDArray[np.generic]]]:
    import onnx

    for held in model.graph.initializer:
        yield held.name, onnx.numpy_helper.to_array(held)
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            yield node.output[0], onnx.numpy_helper.to_array(node.attribute[0].t)


def _arithmetic(
    node: onnx.NodeProto, constants: dict[str, NDArray[np.generic]]
) -> list[onnx.NodeProto]:
    x, y = node.input
    if node.op_type == "BitwiseXor":
        return _xor(x, y, node.output[0])
    held = constants.get(y)
    if held is None or held.size != 1:
        raise ValueError(f"{node.op_type} of two numbers that are both computed")
    number = int(held.item())
    if node.op_type == "BitwiseAnd" and number == (1 << BITS) - 1:
        return _with(node, "Mod", np.array(1 << BITS, np.int64))
    if node.op_type == "BitShift" and node.attribute[0].s == b"RIGHT":
        return _with(node, "Div", np.array(1 << number, np.uint64))
    # An arithmetic shift sets the bits that it emptied: none of them is set before.
    if node.op_type == "BitwiseOr" and number >> BITS:
        return _with(node, "Add", np.array(number, np.uint64))
    raise ValueError(f"{node.op_type} by {number}, which noise has no use for")


def _with(
    node: onnx.NodeProto, operation: str, number: NDArray[np.generic]
) -> list[onnx.NodeProto]:
    """`operation` of the node's first input and a number."""
    name = node.output[0]
    return [_constant(f"{name}.by", number), _node(operation, [node.input[0], f"{name}.by"], name)]


def _xor(x: str, y: str, name: str) -> list[onnx.NodeProto]:
    """Of numbers in [0, 2^32): bit by bit, along a further dimension."""
    powers = np.array([1 << bit for bit in range(BITS)], np.int64)
    made = [
        _constant(f"{name}.last", np.array([-1], np.int64)),
        _constant(f"{name}.powers", powers),
        _constant(f"{name}.two", np.array(2, np.int64)),
    ]
    for given, side in ((x, "x"), (y, "y")):
        one = f"{name}.{side}"
        made += [
            _node("Unsqueeze", [given, f"{name}.last"], f"{one}.wide"),
            _node("Div", [f"{one}.wide", f"{name}.powers"], f"{one}.shifted"),
            _node("Mod", [f"{one}.shifted", f"{name}.two"], f"{one}.bits"),
        ]
    return [
        *made,
        _node("Sub", [f"{name}.x.bits", f"{name}.y.bits"], f"{name}.apart"),
        _node("Mul", [f"{name}.apart", f"{name}.apart"], f"{name}.bits"),
        _node("Mul", [f"{name}.bits", f"{name}.powers"], f"{name}.parts"),
        _node("ReduceSum", [f"{name}.parts", f"{name}.last"], name, keepdims=False),
    ]


def _constant(name: str, value: NDArray[np.generic]) -> onnx.NodeProto:
    import onnx

    held = onnx.numpy_helper.from_array(value, name)
    return onnx.helper.make_node("Constant", [], [name], value=held)


def _node(
    operation: str, inputs: list[str], output: str, *, keepdims: bool | None = None
) -> onnx.NodeProto:
    import onnx

    node = onnx.helper.make_node(operation, inputs, [output])
    if keepdims is not None:
        node.attribute.append(onnx.helper.make_attribute("keepdims", int(keepdims)))
    return node
