"""Make the frames that the flow-warp renderer is trained on.

    python -m training.flow_warp.data drawn --out DIR --identities 400
    python -m training.flow_warp.data portraits --out DIR --portraits FOLDER --identities 500
    python -m training.flow_warp.data clips --out DIR --clips FOLDER

Resumable: run the same command again. Identities already there are kept.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from pipelines.anitalker.config import SMALL
from pipelines.photo.errors import EnrolmentError
from training.flow_warp.clips import ClipError, find_clips, recorded_clip
from training.flow_warp.drawn import HELD_OUT, drawn_clip
from training.flow_warp.photos import choose, portrait_clip
from training.flow_warp.store import SPLITS, Split, write_clip


def draw(out: Path, identities: int, held_out: int, frames: int, size: int, seed: int) -> None:
    """Fill `out` with drawn identities; drawings in which no face is found are left out."""
    first = seed * 10_000
    jobs = [(out / "held_out", HELD_OUT + first + i) for i in range(held_out)]
    jobs += [(out / "train", first + i) for i in range(identities)]
    for folder, number in tqdm(jobs, desc="drawn", unit="identity"):
        path = folder / f"drawn-{number:07d}.safetensors"
        if path.exists():
            continue
        try:
            write_clip(path, drawn_clip(number, frames, size))
        except EnrolmentError as error:
            tqdm.write(f"identity {number}: {error}")


def move(
    out: Path, portraits: Sequence[Path], split: Split, frames: int, size: int,
    mark: tuple[int, int] | None,
) -> None:  # fmt: skip
    """Fill a split of `out` with portraits; those in which no face is found are left out."""
    for number, path in enumerate(tqdm(portraits, desc=split, unit="portrait")):
        clip = out / split / f"{_name(Path(path.name))}.safetensors"
        if clip.exists():
            continue
        try:
            write_clip(clip, portrait_clip(path, number, frames, size, mark))
        except EnrolmentError as error:
            tqdm.write(f"{path.name}: {error}")


def record(out: Path, folder: Path, held_out: int, frames: int, size: int) -> None:
    """Fill `out` with the recordings below `folder`; every `held_out`-th of them is held out.

    Each keeps its name and its side, whatever others come to the folder later.
    """
    paths = find_clips(folder)
    if not paths:
        raise SystemExit(f"no recordings below {folder}")
    for number, path in enumerate(tqdm(paths, desc="clips", unit="file")):
        split = "held_out" if number % held_out == 0 else "train"
        name = f"{_name(path.relative_to(folder))}.safetensors"
        if any((out / either / name).exists() for either in SPLITS):
            continue
        try:
            write_clip(out / split / name, recorded_clip(path, frames, size))
        except ClipError as error:
            tqdm.write(str(error))


def _name(path: Path) -> str:
    """A file name that no other path has: its end, to be read, and its digest."""
    digest = hashlib.sha256(path.as_posix().encode()).hexdigest()[:8]
    return f"{'-'.join(path.with_suffix('').parts)[-48:]}-{digest}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.flow_warp.data", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    drawn = commands.add_parser("drawn", help="drawn identities with known motion")
    drawn.add_argument("--identities", type=int, default=400)
    drawn.add_argument("--held-out", type=int, default=16)
    drawn.add_argument("--seed", type=int, default=0)
    moved = commands.add_parser("portraits", help="a folder of portraits, moved as drawn ones are")
    moved.add_argument("--portraits", type=Path, required=True)
    moved.add_argument("--identities", type=int, default=500)
    moved.add_argument("--held-out", type=int, default=16, help="of those kept for validation")
    moved.add_argument(
        "--index", type=Path,
        help="table of the portraits (see training.portraits): those like one that is kept for "
        "validation are left out, and of those alike only one is taken",
    )  # fmt: skip
    moved.add_argument(
        "--mark", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"),
        help="pixels in the lower right corner that bear a mark: they are painted over",
    )  # fmt: skip
    clips = commands.add_parser("clips", help="recordings of talking heads, one person each")
    clips.add_argument("--clips", type=Path, required=True, help="folder, looked through in depth")
    clips.add_argument("--every", type=int, default=20, help="hold out one in so many")
    for command in (drawn, moved, clips):
        command.add_argument("--out", type=Path, required=True, help="folder of the store")
        command.add_argument("--frames", type=int, default=48, help="per identity")
        command.add_argument("--size", type=int, default=SMALL.size, help="pixels")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if args.command == "drawn":
        draw(args.out, args.identities, args.held_out, args.frames, args.size, args.seed)
    elif args.command == "portraits":
        mark = tuple(args.mark) if args.mark else None
        held, chosen = choose(args.portraits, args.index)
        move(args.out, held[: args.held_out], "held_out", args.frames, args.size, mark)
        move(args.out, chosen[: args.identities], "train", args.frames, args.size, mark)
    else:
        record(args.out, args.clips, args.every, args.frames, args.size)


if __name__ == "__main__":
    main()
