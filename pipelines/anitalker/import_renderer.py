"""AniTalker's published renderer, `stage1.ckpt`, under our names.

A file is a flat dict; its keys stand alone or all behind `lia.`, and may come with others that only
training uses. Source: the released code of arXiv 2405.03121.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from pipelines.anitalker.config import OFFICIAL
from pipelines.anitalker.network import FlowWarp
from pipelines.checkpoints import Checkpoint, check_tensors
from pipelines.weights import CheckpointError

_PREFIX = "lia."
_PARTS = ("enc.net_app.", "dec.to_flows.")  # what tells such a file

# Our names and the published keys; {0} is what the first parentheses caught, the others follow
# from that number.
_NAMES = {
    r"encoder\.entry\.weight": "enc.net_app.convs.0.0.weight",
    r"encoder\.entry\.bias": "enc.net_app.convs.0.1.bias",
    r"encoder\.blocks\.(\d)\.conv\.weight": "enc.net_app.convs.{next}.conv1.0.weight",
    r"encoder\.blocks\.(\d)\.conv\.bias": "enc.net_app.convs.{next}.conv1.1.bias",
    r"encoder\.blocks\.(\d)\.down\.weight": "enc.net_app.convs.{next}.conv2.1.weight",
    r"encoder\.blocks\.(\d)\.down\.bias": "enc.net_app.convs.{next}.conv2.2.bias",
    r"encoder\.blocks\.(\d)\.skip\.weight": "enc.net_app.convs.{next}.skip.1.weight",
    r"encoder\.exit\.weight": "enc.net_app.convs.7.weight",
    r"encoder\.projections\.(\d)\.(\w+)": "enc.net_app.fc{next}.{1}",
    r"encoder\.mix": "enc.net_app.ws.weights",
    r"motion\.leave_identity\.(.+)": "enc.net_decouping.identity_excluded_net.{0}",
    r"motion\.chain\.(.+)": "enc.fc.{0}",
    r"generator\.directions": "dec.direction.weight",
    r"generator\.constant": "dec.input.input",
    r"generator\.first\.weight": "dec.conv1.conv.weight",
    r"generator\.first\.bias": "dec.conv1.activate.bias",
    r"generator\.first\.modulation\.(\w+)": "dec.conv1.conv.modulation.{0}",
    r"generator\.levels\.(\d)\.up\.weight": "dec.convs.{even}.conv.weight",
    r"generator\.levels\.(\d)\.up\.bias": "dec.convs.{even}.activate.bias",
    r"generator\.levels\.(\d)\.up\.modulation\.(\w+)": "dec.convs.{even}.conv.modulation.{1}",
    r"generator\.levels\.(\d)\.plain\.weight": "dec.convs.{odd}.conv.weight",
    r"generator\.levels\.(\d)\.plain\.bias": "dec.convs.{odd}.activate.bias",
    r"generator\.levels\.(\d)\.plain\.modulation\.(\w+)": "dec.convs.{odd}.conv.modulation.{1}",
    r"generator\.levels\.(\d)\.flow\.weight": "dec.to_flows.{0}.conv.weight",
    r"generator\.levels\.(\d)\.flow\.bias": "dec.to_flows.{0}.bias",
    r"generator\.levels\.(\d)\.flow\.modulation\.(\w+)": "dec.to_flows.{0}.conv.modulation.{1}",
    r"generator\.levels\.(\d)\.rgb\.colours\.weight": "dec.to_rgbs.{0}.conv.0.weight",
    r"generator\.levels\.(\d)\.rgb\.colours\.bias": "dec.to_rgbs.{0}.conv.1.bias",
    r"generator\.levels\.(\d)\.rgb\.bias": "dec.to_rgbs.{0}.bias",
}

Shape = tuple[int, ...]


def recognises(checkpoint: Checkpoint) -> bool:
    """Whether this looks like a stage-1 file, whole or not."""
    keys = (key.removeprefix(_PREFIX) for key in checkpoint.tensors)
    return any(key.startswith(_PARTS) for key in keys)


def convert(checkpoint: Checkpoint) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors that rendering uses under the names of `FlowWarp`, and what they are.

    Raises:
        CheckpointError: a key missing, of another shape or type, or a constant with other values.
    """
    found = checkpoint.tensors
    prefix = _PREFIX if any(key.startswith(_PREFIX) for key in found) else ""
    with torch.device("meta"):
        ours = FlowWarp(OFFICIAL).state_dict()
        keys = {name: prefix + published_key(name) for name in ours}
        kernels = {prefix + key: total for key, total in _kernels().items()}
        wanted = {keys[name]: torch.empty(_published_shape(name, ours[name])) for name in ours}
        wanted |= {key: torch.empty(4, 4) for key in kernels}
    used = {key: value for key, value in found.items() if key in wanted}
    check_tensors(used, wanted, str(checkpoint.path))
    _check_kernels(used, kernels, checkpoint)
    tensors = {name: used[key].reshape(ours[name].shape).contiguous() for name, key in keys.items()}
    return tensors, {"variant": "official"}


def published_key(name: str) -> str:
    """The published key of one of our tensors, without prefix.

    Raises:
        ValueError: there is no such tensor.
    """
    for pattern, key in _NAMES.items():
        if caught := re.fullmatch(pattern, name):
            groups = caught.groups()
            number = int(groups[0]) if groups and groups[0].isdigit() else 0
            return key.format(*groups, next=number + 1, even=2 * number, odd=2 * number + 1)
    raise ValueError(f"no published tensor for {name!r}")


def _published_shape(name: str, ours: Tensor) -> Shape:
    """Shape of a tensor in the published file, which keeps some dimensions of one."""
    shape = tuple(ours.shape)
    if name == "generator.constant" or re.search(r"(first|up|plain)\.weight$", name):
        return (1, *shape)
    if name.endswith("flow.weight"):
        return (1, *shape, 1, 1)
    if re.search(r"(entry|conv|down|first|up|plain|flow|rgb|colours)\.bias$", name):
        return (1, *shape, 1, 1)
    return shape


def _kernels() -> dict[str, float]:
    """Keys of the smoothing kernels that are stored, and the sum of each."""
    kernels = {}
    for i in range(OFFICIAL.levels):
        kernels[f"enc.net_app.convs.{i + 1}.conv2.0.kernel"] = 1.0
        kernels[f"enc.net_app.convs.{i + 1}.skip.0.kernel"] = 1.0
        kernels[f"dec.convs.{2 * i}.conv.blur.kernel"] = 4.0
        kernels[f"dec.to_rgbs.{i}.upsample.kernel"] = 4.0
        kernels[f"dec.to_flows.{i}.upsample.kernel"] = 4.0
    return kernels


def _check_kernels(
    found: Mapping[str, Tensor], kernels: Mapping[str, float], checkpoint: Checkpoint
) -> None:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8.0
    for key, total in kernels.items():
        if not torch.allclose(found[key], total * taps[:, None] * taps):
            raise CheckpointError(f"{checkpoint.path}: {key} is not the known smoothing kernel")
