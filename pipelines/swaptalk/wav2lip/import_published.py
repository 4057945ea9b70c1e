"""Wav2Lip's published files (`wav2lip*.pth`, `lipsync_expert.pth`, ...) under our names.

A file is a dict whose `state_dict` counts; its keys may start with `module.`, as the training
wrapper left them. Source: the released code of arXiv 2008.10010.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pipelines.checkpoints import Checkpoint, check_tensors
from pipelines.swaptalk.wav2lip.audio_encoder import PUBLISHED_WIDTH
from pipelines.swaptalk.wav2lip.discriminator import QualityDiscriminator
from pipelines.swaptalk.wav2lip.expert import LipSyncExpert
from pipelines.swaptalk.wav2lip.generator import Wav2Lip

KIND = "wav2lip"
TERMS = "for research and personal use only, as its page says (no licence; trained on LRS2)"

_PREFIX = "module."
_COUNTER = "num_batches_tracked"  # of batches in training; older files have none
_NETWORKS: dict[str, tuple[str, Callable[[int], nn.Module]]] = {
    # what only its keys start with, and the network
    "discriminator": ("binary_pred.", QualityDiscriminator),
    "expert": ("face_encoder.", LipSyncExpert),
    "generator": ("face_decoder_blocks.", Wav2Lip),
}


def recognises(checkpoint: Checkpoint) -> bool:
    """Whether this looks like a file of Wav2Lip's, whole or not."""
    return _variant(checkpoint) is not None


def convert(checkpoint: Checkpoint) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The network's tensors under our names, and which network it is.

    Raises:
        CheckpointError: keys missing or too many, a wrong shape or type.
    """
    variant = _variant(checkpoint)
    assert variant is not None, "only what was recognised is converted"
    found = checkpoint.tensors
    prefix = _PREFIX if any(key.startswith(_PREFIX) for key in found) else ""
    with torch.device("meta"):
        state = _NETWORKS[variant][1](PUBLISHED_WIDTH).state_dict()
    keys = {name: prefix + published_key(name) for name in state if not name.endswith(_COUNTER)}
    used = {key: value for key, value in found.items() if not key.endswith(_COUNTER)}
    wanted = {key: state[name] for name, key in keys.items()}
    check_tensors(used, wanted, f"{checkpoint.path} ({variant})")
    tensors = {name: used[key].contiguous() for name, key in keys.items()}
    return tensors, {"variant": variant, "terms": TERMS}


def published_key(name: str) -> str:
    """The published key of one of our tensors, without prefix."""
    name = re.sub(r"\.conv\.(?=\w+$)", ".conv_block.0.", name)
    return re.sub(r"\.norm\.(?=\w+$)", ".conv_block.1.", name)


def _variant(checkpoint: Checkpoint) -> str | None:
    """Which network's tensors these are; None where they are of none."""
    keys = [key.removeprefix(_PREFIX) for key in checkpoint.tensors]
    for variant, (start, _) in _NETWORKS.items():
        if any(key.startswith(start) for key in keys):
            return variant
    return None
