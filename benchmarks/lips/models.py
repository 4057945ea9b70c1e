"""What models of the `portrait` system make of sounds, by weights and the checkout to run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from benchmarks.lips import motion_of
from benchmarks.lips.motion_of import Motion, Samples
from benchmarks.weights_by_path import named
from pipelines.motion.diffusion import load_motion
from pipelines.motion.space import PORTRAIT_WEIGHTS


def motions(
    sounds: Mapping[str, Samples],
    weights: Path | None = None,
    checkout: Path | None = None,
    cuts: Mapping[str, int] | None = None,
) -> dict[str, Motion]:
    """`benchmarks.lips.motion_of.motions` of a model.

    weights: a file, or the folder of a training run; None for those shipped. checkout: whose code
    runs them, in a process of its own; None for this one.

    Raises:
        ValueError: no such weights, or of another network.
        subprocess.CalledProcessError: the other checkout failed; it said why on the error stream.
    """
    with nullcontext(PORTRAIT_WEIGHTS) if weights is None else named(weights) as name:
        if checkout is None:
            return motion_of.motions(load_motion(name), sounds, cuts)
        return _elsewhere(sounds, name, checkout, cuts)


def _elsewhere(
    sounds: Mapping[str, Samples], name: str, checkout: Path, cuts: Mapping[str, int] | None
) -> dict[str, Motion]:
    with tempfile.TemporaryDirectory() as folder:
        heard, moved = Path(folder) / "sounds.npz", Path(folder) / "motion.npz"
        np.savez(heard, **sounds)
        script = str(Path(motion_of.__file__).resolve())
        words = [sys.executable, "-P", script, str(heard), str(moved), "--weights", name]
        words += ["--cuts", json.dumps(dict(cuts or {}))]
        environment = os.environ | {"PYTHONPATH": str(checkout.resolve())}
        subprocess.run(words, cwd=checkout, env=environment, check=True)
        with np.load(moved) as held:
            return {name: held[name].astype(np.float32) for name in sounds}
