"""Ship what was trained: the moving average, in half precision.

    python -m training.swaptalk.export RUN --out weights

Which of the files it becomes, RUN/model.safetensors says of itself. Export the VQGAN before its
latents are encoded: swap and lips belong to the file that is shipped. Model cards beside the files
are written by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file

from pipelines.weights import read_metadata, shipped_weights_dir


def export(run: Path, folder: Path) -> Path:
    """Write RUN/model.safetensors as a file of the pipeline, by its kind; returns its path.

    Raises:
        ValueError: the run holds no weights that say what they are.
    """
    made = run / "model.safetensors"
    about = read_metadata(made)
    if not (kind := about.get("kind", "")).startswith("swaptalk-"):
        raise ValueError(f"{made} is {kind or 'of no kind'}, no part of swaptalk")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}.safetensors"
    save_file({name: value.half() for name, value in load_file(made).items()}, path, about)
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.swaptalk.export", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("--out", type=Path, default=shipped_weights_dir())
    args = parser.parse_args(arguments)
    path = export(args.run, args.out)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
