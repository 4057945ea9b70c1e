"""Ship a trained generator: `python -m training.motion.export RUN --name portrait-motion`.

Writes weights/NAME.safetensors in float16, with what it was trained by in the metadata. The model
card beside it is written by hand.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pipelines.weights import shipped_weights_dir


def export(run: Path, name: str) -> Path:
    """float16 copy of RUN/model.safetensors among the shipped weights; returns its path."""
    held = load_file(run / "model.safetensors")
    half = {
        key: value.half() if value.dtype == torch.float32 else value for key, value in held.items()
    }
    too_large = [key for key, value in half.items() if not torch.isfinite(value.float()).all()]
    if too_large:
        raise ValueError(f"float16 cannot hold {', '.join(too_large)}")
    with safe_open(run / "model.safetensors", "pt") as file:
        about = dict(file.metadata() or {})
    steps = [json.loads(line) for line in (run / "curve.jsonl").read_text().splitlines()]
    about |= {"held_out_motion": f"{steps[-1]['held_out_motion']:.5f}"}
    path = shipped_weights_dir() / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file(half, path, about)
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="training.motion.export", description="ship a trained generator"
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", required=True)
    args = parser.parse_args(arguments)
    path = export(args.run, args.name)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
