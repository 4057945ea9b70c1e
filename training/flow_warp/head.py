"""After training: fit the motion head alone, on what the finished encoder says of many pictures.

    python -m training.flow_warp.head --run RUN --data DIR

While everything moves the head chases codes that change and an encoder that changes. With both
fixed, a pass of the encoder over the faces gives appearance codes once, and the small head is
fitted to them in seconds: it cannot disturb the pictures, which do not depend on it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from pipelines.anitalker.config import RendererConfig
from pipelines.anitalker.encoder import MotionHead
from pipelines.anitalker.mapped_codes import MotionToCode
from pipelines.anitalker.network import FlowWarp
from training.flow_warp.augment import mirror_motion, reframed, relight
from training.flow_warp.store import SPLITS, Face, read_faces

_BATCH = 256
_RATE = 2e-3


@torch.no_grad()
def look(
    renderer: FlowWarp, faces: Sequence[Face], frames: int, seed: int | None
) -> tuple[Tensor, Tensor]:
    """Appearance codes [N, latent] of up to `frames` frames a face, and their motion [N, D].

    Frame 0, the resting face, is always among them. With a seed the pictures are varied as in
    training. Faces without known motion are left out.
    """
    starts: list[Tensor] = []
    motions: list[Tensor] = []
    for face in tqdm(faces, desc="looking", unit="face"):
        if face.motion is None:
            continue
        chance = np.random.default_rng((seed or 0, len(starts)))
        others = chance.permutation(np.arange(1, len(face)))[: frames - 1].tolist()
        chosen = [0, *others]
        pictures = torch.stack([face.frame(i) for i in chosen]).permute(0, 3, 1, 2)
        pictures, motion = pictures.float() / 127.5 - 1.0, face.motion[chosen]
        if seed is not None:
            pictures = reframed(relight(pictures, chance), chance)
            if chance.random() < 0.5:
                pictures, motion = pictures.flip(3), mirror_motion(motion)
        starts.append(renderer.encoder(pictures)[1])
        motions.append(motion)
    return torch.cat(starts), torch.cat(motions)


def fit(head: MotionHead, starts: Tensor, wanted: Tensor, steps: int, seed: int) -> None:
    """Fit the head, in place, to the codes [N, code] that are wanted for starts [N, latent]."""
    chance = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(head.parameters(), lr=_RATE, weight_decay=0.01)
    pace = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in tqdm(range(steps), desc="head"):
        rows = torch.randint(len(starts), (_BATCH,), generator=chance)
        loss = (head(starts[rows]) - wanted[rows]).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        pace.step()


@torch.no_grad()
def explained(head: nn.Module, starts: Tensor, wanted: Tensor) -> float:
    """Share of the variance of the wanted codes that the head gives."""
    error = (head(starts) - wanted).square().mean()
    return 1.0 - float(error / wanted.var(0).mean())


def refit(run: Path, data: Path, frames: int, steps: int, seed: int) -> dict[str, float]:
    """Fit the head of RUN/model.safetensors and write it back; returns what it explains."""
    path = run / "model.safetensors"
    held = load_file(path)
    with safe_open(path, "pt") as file:
        about = dict(file.metadata() or {})
    config = json.loads(about["config"])
    renderer = FlowWarp(RendererConfig(**config | {"widths": tuple(config["widths"])}))
    to_code = MotionToCode(renderer.config.motion_dim)
    parts = nn.ModuleDict({"renderer": renderer, "to_code": to_code})
    parts.load_state_dict(held)
    sets = {}
    for split in SPLITS:
        faces = read_faces(data / split, renderer.config.size)
        starts, motion = look(renderer, faces, frames, seed if split == "train" else None)
        with torch.no_grad():
            sets[split] = starts, to_code.drawn(motion)
    fit(renderer.motion, *sets["train"], steps, seed)
    found: dict[str, float] = {
        split: explained(renderer.motion, *known) for split, known in sets.items()
    }
    tensors = {name: value.contiguous() for name, value in parts.state_dict().items()}
    about |= {"head_explains": json.dumps({k: round(v, 4) for k, v in found.items()})}
    save_file(tensors, path.with_suffix(".part"), about)
    path.with_suffix(".part").replace(path)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.flow_warp.head")
    parser.add_argument("--run", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--data", type=Path, required=True, help="folder it was trained on")
    parser.add_argument("--frames", type=int, default=16, help="of each face")
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found = refit(args.run, args.data, args.frames, args.steps, args.seed)
    print(
        ", ".join(f"{split}: {share:.1%} of the codes' variance" for split, share in found.items())
    )


if __name__ == "__main__":
    main()
