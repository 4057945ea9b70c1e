"""Ship a trained renderer and its motion map.

    python -m training.flow_warp.export RUN --out weights

Writes anitalker-renderer.safetensors and anitalker-motion.safetensors: the moving average, with the
code of a face at rest beside the renderer.
Model cards beside them are written by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pipelines.anitalker.config import MAPPED
from pipelines.anitalker.weights import REST, map_of
from pipelines.weights import shipped_weights_dir

RENDERER = "anitalker-renderer"
_PARTS = {"renderer": RENDERER, "to_code": MAPPED}  # file by the part of a run's average


def export(run: Path, folder: Path) -> list[Path]:
    """Split RUN/model.safetensors into the files of the pipeline; returns their paths."""
    held = load_file(run / "model.safetensors")
    with safe_open(run / "model.safetensors", "pt") as file:
        about = dict(file.metadata() or {})
    to_code = map_of(held, str(run))
    about["codes"] = to_code.digest()
    paths = []
    folder.mkdir(parents=True, exist_ok=True)
    for part, name in _PARTS.items():
        own = {k.removeprefix(f"{part}."): v for k, v in held.items() if k.startswith(f"{part}.")}
        if part == "renderer":
            own[REST] = to_code.rest()
        path = folder / f"{name}.safetensors"
        save_file(own, path, about | {"kind": name})
        paths.append(path)
    return paths


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.flow_warp.export", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("--out", type=Path, default=shipped_weights_dir())
    args = parser.parse_args(arguments)
    for path in export(args.run, args.out):
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
