"""Command line: draw the shipped cast, or a contact sheet of random people."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.faces import CAST, draw_portrait, random_params

CAST_SIZE = 768  # pixels


def contact_sheet(pictures: list[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """The pictures [H, W, 3] in rows of `columns`, the last row filled up with white."""
    blank = np.full_like(pictures[0], 255)
    padded = pictures + [blank] * (-len(pictures) % columns)
    rows = [np.concatenate(padded[i : i + columns], 1) for i in range(0, len(padded), columns)]
    return np.concatenate(rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.faces", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    cast = commands.add_parser("cast", help="draw the shipped cast")
    cast.add_argument("--out", type=Path, default=Path("cast"), help="folder for the PNGs")
    cast.add_argument("--size", type=int, default=CAST_SIZE)
    cast.add_argument("names", nargs="*", help="only these; everybody when left out")
    sample = commands.add_parser("sample", help="draw a contact sheet of random people")
    sample.add_argument("--count", type=int, default=16)
    sample.add_argument("--seed", type=int, default=0, help="seed of the first; the next is one up")
    sample.add_argument("--size", type=int, default=512)
    sample.add_argument("--out", type=Path, default=Path("sheet.png"))
    return parser


def main() -> None:
    """Run the command line."""
    args = _parser().parse_args()
    if args.command == "cast":
        args.out.mkdir(parents=True, exist_ok=True)
        for name in args.names or CAST:
            path = args.out / f"{name}.png"
            Image.fromarray(draw_portrait(CAST[name], args.size)).save(path, optimize=True)
            print(f"{path}  {path.stat().st_size // 1024} kB")
        return
    seeds = range(args.seed, args.seed + args.count)
    pictures = [draw_portrait(random_params(seed), args.size) for seed in seeds]
    columns = int(np.ceil(np.sqrt(args.count)))
    Image.fromarray(contact_sheet(pictures, columns)).save(args.out)
    print(args.out)


if __name__ == "__main__":
    main()
