"""Bake faces for machines where no photo can be read.

python -m benchmarks.gpu.bake FACES.safetensors.gz [--pipelines portrait anitalker swaptalk]
    [--avatars freya omar] [--heights 256 512 720]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.avatars import enrolled, find_photo
from benchmarks.gpu.faces import Baked, rows_of, write
from benchmarks.gpu.pipelines import PIPELINES, SIZES, renderer_of
from pipelines.photo.framing import SQUARE, framed
from pipelines.pipeline import Size
from pipelines.registry import find_system
from pipelines.slot_tables import slot_tables
from realtime.engine.device import use_one_thread

AVATARS = ("freya", "omar")
_MOST_MB = 60  # what is easily carried to another machine


def bake(pipeline: str, avatars: Sequence[str], sizes: tuple[Size, ...]) -> Baked:
    """The rows that faces of the cast (or photos) put into the pipeline's tables."""
    cpu, system = torch.device("cpu"), find_system(pipeline)
    faces = len(avatars)
    renderer, bare, larger = (
        renderer_of(pipeline, slots, sizes, cpu) for slots in (faces, faces, faces + 1)
    )
    with torch.inference_mode():
        for slot, avatar in enumerate(avatars):
            identity = framed(enrolled(system, find_photo(avatar)), SQUARE)
            for size in sizes:
                renderer.prepare(identity, size)
            renderer.set_identity(slot, identity, sizes)
        PIPELINES[pipeline].shorten(renderer)
    return Baked(faces, sizes, rows_of(renderer, bare, slot_tables(bare, larger)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--pipelines", nargs="+", choices=PIPELINES, default=list(PIPELINES))
    parser.add_argument("--avatars", nargs="+", default=AVATARS)
    parser.add_argument("--heights", type=int, nargs="+", default=[h for _, h in SIZES])
    args = parser.parse_args(argv)
    use_one_thread()
    sizes = tuple(size for size in SIZES if size[1] in args.heights)
    write(args.out, {name: bake(name, args.avatars, sizes) for name in args.pipelines})
    large = args.out.stat().st_size / 1e6
    print(f"{args.out}: {large:.1f} MB, {len(args.avatars)} faces of {', '.join(args.pipelines)}")
    if large > _MOST_MB:
        print(f"more than {_MOST_MB} MB: bake fewer avatars")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
