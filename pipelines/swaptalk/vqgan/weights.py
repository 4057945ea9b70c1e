"""VQGANs by the name of their weights, imported or ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from pipelines.checkpoints import check_tensors, in_single
from pipelines.swaptalk.vqgan.config import OWN_VQGAN, PUBLISHED_VQGAN, VqganConfig
from pipelines.swaptalk.vqgan.import_vqgan import layout_of
from pipelines.swaptalk.vqgan.network import Vqgan
from pipelines.weights import CheckpointError, find_weights, read_metadata


def load_vqgan(name: str) -> Vqgan:
    """The VQGAN of installed weights of that name, in float32, for inference.

    Raises:
        ValueError: not there, no VQGAN, or not the tensors of its configuration.
    """
    return read_vqgan(find_weights(name))


def read_vqgan(path: Path) -> Vqgan:
    """The VQGAN of a weights file, as `load_vqgan`."""
    metadata = read_metadata(path)
    tensors = in_single(load_file(path))
    if metadata.get("kind") == OWN_VQGAN:
        config = config_from(metadata)
    elif metadata.get("kind") == PUBLISHED_VQGAN:
        config = layout_of({key: tuple(value.shape) for key, value in tensors.items()})
    else:
        raise CheckpointError(f"{path}: {metadata.get('kind', 'of no kind')}, not a VQGAN")
    model = Vqgan(config)
    check_tensors(tensors, model.state_dict(), str(path))
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False)


def metadata_of(config: VqganConfig) -> dict[str, str]:
    """What a weights file of ours says of itself."""
    fields = {key: getattr(config, key) for key in config.__dataclass_fields__}
    return {"kind": OWN_VQGAN, "config": json.dumps(fields)}


def config_from(metadata: dict[str, str]) -> VqganConfig:
    """The configuration that `metadata_of` wrote.

    Raises:
        ValueError: there is none, or with fields that are not ours.
    """
    try:
        held = json.loads(metadata["config"]).items()
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in held}
        return VqganConfig(**fields)
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"its metadata hold no configuration of a VQGAN: {error}") from error
