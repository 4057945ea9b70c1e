"""Small untrained weights of the `anitalker` pipeline, in a folder of their own."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from pipelines.anitalker.config import RendererConfig
from pipelines.anitalker.mapped_codes import MotionToCode
from pipelines.anitalker.network import FlowWarp
from pipelines.anitalker.weights import REST

TINY = RendererConfig(size=32, widths=(8, 12, 16, 16), latent_dim=24, motion_layers=2)


def write_weights(folder: Path, seed: int = 0, kind: str = "anitalker-renderer") -> None:
    """Write a renderer of 32 pixels and a map, under the names that the pipeline looks for."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    renderer = FlowWarp(TINY)
    for level in renderer.generator.levels:
        torch.nn.init.normal_(level.flow.weight, std=0.3)  # so that codes move something
    to_code = MotionToCode(hidden=16).requires_grad_(False)
    tensors = renderer.state_dict() | {REST: to_code.rest()}
    save_file(tensors, folder / "anitalker-renderer.safetensors", {"kind": kind})
    save_file(
        to_code.state_dict(), folder / "anitalker-motion.safetensors", {"kind": "anitalker-motion"}
    )
