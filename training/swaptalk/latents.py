"""The latents of a store of faces, encoded once: the encoder is frozen, and costs most by far.

    python -m training.swaptalk.latents --data DIR --out LATENTS --vqgan RUN/model.safetensors
    python -m training.swaptalk.latents --data DIR --out LATENTS --stand-in 30

LATENTS/SPLIT/NAME.safetensors
    latents  float16 [N, dim, rows, columns]
    motion   float32 [N, MOTION_DIM]
    regions  float32 [N, 3, 3]  mouth and eyes, in the picture that was encoded
    metadata: group, as in the store of faces; encoder, whose latents these are

A VQGAN sees the square of the face, the stand-in whole frames. Maps are what enrolment makes of a
template: of either half by itself, not yet looked up. Resumable: run the same command again. Faces
without known motion are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from pipelines.swaptalk.config import LatentConfig
from pipelines.swaptalk.vqgan.weights import read_vqgan
from pipelines.swaptalk.weights import encoder_name
from pipelines.weights import read_metadata
from training.flow_warp.store import SPLITS, Face
from training.swaptalk.squares import square_at
from training.swaptalk.stand_in import StandIn

Encode = Callable[[Tensor], Tensor]
"""Pictures float32 [B, 3, S, S] in [-1, 1] -> latents [B, dim, rows, columns]."""

_BATCH = 16


class LatentFace:
    """One identity, read frame by frame from a mapped file."""

    def __init__(self, path: Path) -> None:
        opened: Any = safe_open
        file: Any = opened(path, "pt")
        about = file.metadata()
        self._latents = file.get_slice("latents")
        self.name, self.group, self.encoder = path.stem, about["group"], about["encoder"]
        self.motion: Tensor = file.get_tensor("motion")
        self.regions: Tensor = file.get_tensor("regions")

    def __len__(self) -> int:
        return len(self.motion)

    @property
    def shape(self) -> LatentConfig:
        """Of a frame's latents."""
        _, dim, rows, columns = self._latents.get_shape()
        return LatentConfig(dim=dim, rows=rows, columns=columns)

    def latents(self, frames: Sequence[int]) -> Tensor:
        """Of these frames, float32 [len(frames), dim, rows, columns]."""
        return torch.stack([self._latents[i] for i in frames]).float()


def read_latents(folder: Path) -> list[LatentFace]:
    """All identities below `folder`, by name.

    Raises:
        ValueError: there are none, or not all are of one encoder.
    """
    faces = [LatentFace(path) for path in sorted(folder.glob("*.safetensors"))]
    if not faces:
        raise ValueError(f"{folder} holds no latents; make them with swaptalk.latents")
    if len(encoders := {face.encoder for face in faces}) > 1:
        raise ValueError(f"{folder} holds latents of several encoders: {sorted(encoders)}")
    return faces


@torch.no_grad()
def encode_store(encode: Encode, name: str, data: Path, out: Path, square: int = 0) -> None:
    """Encode the faces of a store; those that are there already are kept.

    Args:
        encode: the frozen encoder.
        name: of the encoder and its weights, kept with the latents.
        data: folder of the store, with its splits.
        out: folder of the latents.
        square: side in pixels of the face's square, which is what is encoded; 0: whole frames.

    Raises:
        ValueError: what is there is another encoder's.
    """
    for split in SPLITS:
        paths = sorted((data / split).glob("*.safetensors"))
        for path in tqdm(paths, desc=split, unit="face"):
            made = out / split / path.name
            if made.exists():
                if (other := read_metadata(made).get("encoder")) != name:
                    raise ValueError(f"{made} is of {other}, not of {name}; choose another folder")
                continue
            _encode_face(encode, name, Face(path), made, square)


def _encode_face(encode: Encode, name: str, face: Face, made: Path, square: int) -> None:
    """Write the latents of one face so that a reader sees all of them or nothing."""
    if face.motion is None:
        return
    parts, regions = [], []
    for first in range(0, len(face), _BATCH):
        frames = range(first, min(first + _BATCH, len(face)))
        shots = [_shot(face, i, square) for i in frames]
        found = encode(torch.cat([picture for picture, _ in shots]))
        parts.append(found.half().cpu().contiguous())
        regions += [places for _, places in shots]
    held = {"latents": torch.cat(parts), "motion": face.motion, "regions": torch.cat(regions)}
    made.parent.mkdir(parents=True, exist_ok=True)
    part = made.with_suffix(".part")
    save_file(held, part, {"group": face.group, "encoder": name})
    part.replace(made)


def _shot(face: Face, index: int, square: int) -> tuple[Tensor, Tensor]:
    """A frame, or the square of its face, [1, 3, S, S] in [-1, 1]; and its regions [1, 3, 3]."""
    frame = face.frame(index).permute(2, 0, 1)[None].float() / 127.5 - 1.0
    if not square:
        return frame, face.regions[index : index + 1]
    place, regions = square_at(face, index)
    grid = F.affine_grid(place, [1, 3, square, square], align_corners=False)
    cut = F.grid_sample(frame, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return cut.clamp(-1.0, 1.0), regions


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.swaptalk.latents", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, help="folder made by flow_warp.data")
    parser.add_argument("--out", type=Path, required=True)
    encoder = parser.add_mutually_exclusive_group(required=True)
    encoder.add_argument("--vqgan", type=Path, help="model.safetensors of a VQGAN")
    encoder.add_argument(
        "--stand-in", type=int, metavar="DIM",
        help="numbers per cell of a cosine transform in the place of a VQGAN",
    )  # fmt: skip
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if args.vqgan is None:
        encode_store(StandIn(args.stand_in).encode, f"cosines-{args.stand_in}", args.data, args.out)
        return
    vqgan = read_vqgan(args.vqgan).to(args.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    encode_store(
        lambda pictures: vqgan.encode_halves(pictures.to(args.device)), encoder_name(args.vqgan),
        args.data, args.out, vqgan.config.size,
    )  # fmt: skip


if __name__ == "__main__":
    main()
