"""The published VQGANs of taming-transformers and latent-diffusion, under our names.

The names of tensors are theirs. A file holds them alone, or behind `first_stage_model.` beside a
transformer or a diffusion model; what trained them (`loss.*`, copies of moving averages) may stand
beside them. Source: the released code of arXiv 2012.09841 and arXiv 2112.10752.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from pipelines.checkpoints import Checkpoint, check_tensors
from pipelines.swaptalk.vqgan.config import PUBLIC, VqganConfig
from pipelines.swaptalk.vqgan.network import Vqgan
from pipelines.weights import CheckpointError

_PARTS = ("encoder.", "decoder.", "quantize.", "quant_conv.", "post_quant_conv.")
_TELLING = ("encoder.down.", "encoder.mid.", "decoder.up.", "decoder.mid.", "quantize.")
_FIRST_STAGE = "first_stage_model."
_BOOKS = {"quantize.embedding.weight": "nearest", "quantize.embed.weight": "gumbel"}

# What tells the layouts: how many levels, and which kind of codebook. Its size is read off.
_LAYOUTS = {
    (len(config.ch_mult), config.quantiser): config
    for config in (PUBLIC[name] for name in ("f16-1024", "f8-256", "f4-8192", "gumbel-f8"))
}


def recognises(checkpoint: Checkpoint) -> bool:
    """Whether this looks like a file with a VQGAN, whole or not."""
    keys = (key.removeprefix(_FIRST_STAGE) for key in checkpoint.tensors)
    return any(key.startswith(_TELLING) for key in keys)


def convert(checkpoint: Checkpoint) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of the VQGAN under the names of `Vqgan`, and which it is.

    Raises:
        CheckpointError: no known layout; keys missing or too many, of another shape or type.
    """
    found = checkpoint.tensors
    prefix = _FIRST_STAGE if any(key.startswith(_FIRST_STAGE) for key in found) else ""
    used = {key: value for key, value in found.items() if _is_used(key, prefix)}
    shapes = {key.removeprefix(prefix): tuple(value.shape) for key, value in used.items()}
    try:
        config = layout_of(shapes)
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error
    with torch.device("meta"):
        ours = Vqgan(config).state_dict()
    wanted = {prefix + name: value for name, value in ours.items()}
    check_tensors(used, wanted, f"{checkpoint.path} ({variant_of(config)})")
    tensors = {name: used[prefix + name].contiguous() for name in ours}
    return tensors, {"variant": variant_of(config)}


def layout_of(shapes: Mapping[str, tuple[int, ...]]) -> VqganConfig:
    """The configuration of a published VQGAN from the shapes of its tensors.

    Raises:
        ValueError: none of a known layout.
    """
    books = [key for key in _BOOKS if key in shapes]
    if not books:
        raise ValueError(
            f"lacks {next(iter(_BOOKS))}: there is no codebook, so this is no VQGAN"
            + (" but a KL autoencoder" if _has_moments(shapes) else "")
        )
    levels = 1 + max(
        (
            int(caught[1])
            for key in shapes
            if (caught := re.match(r"\w+\.(?:down|up)\.(\d+)\.", key))
        ),
        default=-1,
    )
    kind = _BOOKS[books[0]]
    layout = _LAYOUTS.get((levels, kind))  # type: ignore[arg-type]
    if layout is None:
        known = ", ".join(f"{count} with a {kind} one" for count, kind in _LAYOUTS)
        raise ValueError(f"{levels} levels with a {kind} codebook; known are {known}")
    book = shapes[books[0]]
    if len(book) != 2:
        raise ValueError(f"{books[0]} has shape {list(book)}, expected codes x numbers")
    return replace(layout, codes=book[0], code_dim=book[1])


def variant_of(config: VqganConfig) -> str:
    """Our name of a public model, else factor and size of the codebook."""
    named = (name for name, public in PUBLIC.items() if public == config)
    return next(named, f"f{config.factor}-{config.codes}x{config.code_dim}")


def _is_used(key: str, prefix: str) -> bool:
    return key.startswith(prefix) and key.removeprefix(prefix).startswith(_PARTS)


def _has_moments(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the encoder gives mean and variance."""
    width = shapes.get("quant_conv.weight", (1,))[0]
    return width == 2 * shapes.get("post_quant_conv.weight", (0, 0))[1]
