"""Weights files of swap, lips and expert: safetensors that know their kind and configuration."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from pipelines.checkpoints import check_tensors, in_single
from pipelines.swaptalk.config import (
    EXPERT,
    LIPS,
    SWAP,
    EarConfig,
    ExpertConfig,
    LatentConfig,
    LipConfig,
    SwapConfig,
)
from pipelines.swaptalk.expert import SyncExpert
from pipelines.swaptalk.lips import LipSync
from pipelines.swaptalk.swap import Swap
from pipelines.weights import CheckpointError, read_metadata


def metadata_of(config: SwapConfig | LipConfig | ExpertConfig) -> dict[str, str]:
    """What a weights file of a network of `config` says of itself."""
    kinds = {SwapConfig: SWAP, LipConfig: LIPS, ExpertConfig: EXPERT}
    return {"kind": kinds[type(config)], "config": json.dumps(asdict(config))}


def load_swap(path: Path) -> Swap:
    """The swap of a weights file, for inference.

    Raises:
        ValueError: not a weights file, of another kind, or not the tensors of its configuration.
    """
    network = Swap(_config(path, SWAP, SwapConfig))
    _fill(network, path)
    return network


def load_lips(path: Path, encoder: nn.Module | None = None) -> LipSync:
    """The lips of a weights file, for inference; raises as `load_swap`.

    encoder: of mel windows, to be filled from the file, where they hear mel.
    """
    network = LipSync(_config(path, LIPS, LipConfig), encoder)
    _fill(network, path)
    return network


def load_expert(path: Path, encoder: nn.Module | None = None) -> SyncExpert:
    """The expert of a weights file, for inference; as `load_lips`."""
    network = SyncExpert(_config(path, EXPERT, ExpertConfig), encoder)
    _fill(network, path)
    return network


def encoder_name(vqgan: Path) -> str:
    """Of a VQGAN's weights file, by its encoder and codes; files trained on its latents say it.

    What decodes may be trained further without them. They count as half precision has them, in
    which they are shipped.
    """
    digest = hashlib.sha256()
    opened: Any = safe_open
    with opened(vqgan, "np") as file:
        for key in sorted(file.keys()):
            if not key.startswith(("decoder.", "post_quant_conv.")):
                held = file.get_tensor(key).astype(np.float16)
                digest.update(key.encode() + held.tobytes())
    return f"vqgan-{digest.hexdigest()[:16]}"


def check_encoder(path: Path, vqgan: Path) -> None:
    """CheckpointError where a weights file says that it was trained on another VQGAN's latents."""
    told = read_metadata(path).get("encoder")
    if told is not None and told != encoder_name(vqgan):
        raise CheckpointError(
            f"{path.name} was trained on the latents of {told}, but {vqgan.name} is "
            f"{encoder_name(vqgan)}; use the two that were trained together"
        )


_Config = Any  # of three dataclasses without a common base


def _config(path: Path, kind: str, make: _Config) -> _Config:
    about = read_metadata(path)
    if about.get("kind") != kind:
        raise CheckpointError(f"{path}: {about.get('kind', 'of no kind')}, expected {kind}")
    try:
        fields: Mapping[str, Any] = json.loads(about["config"])
        return make(**{name: _value(name, value) for name, value in fields.items()})
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: its metadata hold no configuration: {error}") from error


def _value(name: str, value: Any) -> Any:
    """A field as its dataclass has it, from what JSON made of it."""
    if isinstance(value, dict):
        return {"latent": LatentConfig, "ear": EarConfig}[name](**value)
    return tuple(value) if isinstance(value, list) else value


def _fill(network: nn.Module, path: Path) -> None:
    tensors = in_single(load_file(path))
    check_tensors(tensors, network.state_dict(), str(path))
    network.load_state_dict(tensors)
    network.eval().requires_grad_(False)
