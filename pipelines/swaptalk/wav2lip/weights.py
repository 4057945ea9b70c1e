"""Networks of Wav2Lip from weights files, imported or our own, for inference."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from pipelines.checkpoints import check_tensors, load_weights
from pipelines.swaptalk.wav2lip.blocks import fold_norms
from pipelines.swaptalk.wav2lip.discriminator import QualityDiscriminator
from pipelines.swaptalk.wav2lip.expert import LipSyncExpert
from pipelines.swaptalk.wav2lip.generator import Wav2Lip
from pipelines.weights import CheckpointError

Network = TypeVar("Network", bound=nn.Module)

_COUNTER = "num_batches_tracked"  # what only training uses


def load_generator(name: str) -> Wav2Lip:
    """The generator of that name, normalisation folded.

    Raises:
        ValueError: not there, or not the tensors of a generator.
    """
    return _loaded(name, Wav2Lip, "audio_encoder.0.conv.weight")


def load_expert(name: str) -> LipSyncExpert:
    """The lip-sync expert of that name, normalisation folded.

    Raises:
        ValueError: not there, or not the tensors of an expert.
    """
    return _loaded(name, LipSyncExpert, "audio_encoder.0.conv.weight")


def load_discriminator(name: str) -> QualityDiscriminator:
    """The quality discriminator of that name.

    Raises:
        ValueError: not there, or not the tensors of a discriminator.
    """
    return _loaded(name, QualityDiscriminator, "face_encoder_blocks.0.0.conv.weight")


def _loaded(name: str, network: type[Network], first: str) -> Network:
    """The network whose width is that of the tensor `first`."""
    tensors, _ = load_weights(name)
    if first not in tensors:
        raise CheckpointError(f"{name}: not the tensors of a {network.__name__}: lacks {first}")
    model = network(len(tensors[first]))
    tensors = {key: value for key, value in tensors.items() if not key.endswith(_COUNTER)}
    state = {key: value for key, value in model.state_dict().items() if not key.endswith(_COUNTER)}
    check_tensors(tensors, state, name)
    model.load_state_dict(tensors, strict=False)
    model.eval().requires_grad_(False)
    fold_norms(model)
    return model
