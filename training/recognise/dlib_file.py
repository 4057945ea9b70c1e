"""Weights of dlib's face recognition network out of the file that dlib wrote.

dlib writes the layers from the input to the output, each with its name and its numbers: a tensor
is its version, four sizes, and little-endian float32. An integer is a byte with the count of those
that follow (and the sign in the highest bit), little-endian. Layers without numbers are passed
over.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from training.recognise.network import FaceNetwork

_LAYERS = re.compile(rb"\x01\x05con_4|\x01\x07affine_|\x01\x04fc_2")
_BEFORE = {"fc_2": 2}  # integers between the name and the numbers: outputs and inputs
_TENSOR_VERSION = 2

Layer = tuple[str, Tensor]
"""Its name, and its numbers, float32 [n]."""


def weights_of(data: bytes) -> dict[str, Tensor]:
    """The state of a `FaceNetwork` from the contents of dlib's file.

    Raises:
        ValueError: these are not the layers of that network.
    """
    network = FaceNetwork()
    layers, state = _layers(data), dict[str, Tensor]()
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            weight, bias = _folded(module, _next(layers, "con_4"), _next(layers, "affine_"))
            state |= {f"{name}.weight": weight, f"{name}.bias": bias}
    last = _next(layers, "fc_2")
    _check(last, network.last.weight.numel())
    state["last.weight"] = last.reshape(network.last.weight.T.shape).T.contiguous()
    if (more := next(layers, None)) is not None:
        raise ValueError(f"not dlib's face recognition network: a further layer {more[0]}")
    return state


def _layers(data: bytes) -> Iterator[Layer]:
    """Those that have numbers, from input to output."""
    for found in _LAYERS.finditer(data):
        name, at = found.group()[2:].decode(), found.end()
        for _ in range(_BEFORE.get(name, 0)):
            _, at = _integer(data, at)
        yield name, _numbers(data, at)


def _numbers(data: bytes, at: int) -> Tensor:
    sizes = []
    for _ in range(5):
        size, at = _integer(data, at)
        sizes.append(size)
    version, count = sizes[0], math.prod(sizes[1:])
    if version != _TENSOR_VERSION or count <= 0 or at + 4 * count > len(data):
        raise ValueError(f"not dlib's face recognition network: no tensor at byte {at}")
    return torch.from_numpy(np.frombuffer(data, "<f4", count, at).astype(np.float32))


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """The integer at a place, and where it ends."""
    head = data[at] if at < len(data) else 0
    end = at + 1 + (head & 0x0F)
    value = int.from_bytes(data[at + 1 : end], "little")
    return (-value if head & 0x80 else value), end


def _next(layers: Iterator[Layer], wanted: str) -> Tensor:
    name, numbers = next(layers, ("none", torch.empty(0)))
    if name != wanted:
        raise ValueError(f"not dlib's face recognition network: layer {name}, wanted {wanted}")
    return numbers


def _folded(layer: nn.Conv2d, numbers: Tensor, affine: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution whose output goes through an affine layer."""
    count, size = layer.out_channels, layer.weight.numel()
    _check(numbers, size + count)
    _check(affine, 2 * count)
    weight, bias = numbers[:size].reshape(layer.weight.shape), numbers[size:]
    gain, offset = affine.chunk(2)
    return weight * gain[:, None, None, None], bias * gain + offset


def _check(numbers: Tensor, count: int) -> None:
    if len(numbers) != count:
        raise ValueError(
            f"not dlib's face recognition network: a layer of {len(numbers)} numbers, not {count}"
        )
