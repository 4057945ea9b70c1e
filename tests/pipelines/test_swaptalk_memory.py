"""How much memory an avatar of `swaptalk` takes while it is shown, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MEASURE = """
import numpy as np, psutil, torch
from pipelines.batch import Batch
from pipelines.identity import IdentityFeatures
from pipelines.motion.space import MOTION_DIM
from pipelines.photo.video.kept import STRETCH, KeptClip, keep
from pipelines.swaptalk.loop import LONGEST, make_loop
from pipelines.swaptalk.mask import HEIGHT, WIDTH
from pipelines.swaptalk.render import SwapTalkRenderer
from pipelines.swaptalk.template import MOST_RESIDENT, Template, check_memory
from tests.support.echo_faces import EchoFaces

def longest(size, seed):
    # One stretch again and again, noisy in so many lines that it takes 12 Mbit/s: the most.
    chance = np.random.default_rng(seed)
    noisy = np.full((STRETCH, size[1] * 3 // 2, size[0]), 122, np.uint8)
    noisy[:, : size[1] * 2 // 3] = chance.integers(118, 126, noisy[:, : size[1] * 2 // 3].shape)
    part = keep(iter(noisy), size)
    times = LONGEST // STRETCH
    starts = np.arange(times + 1) * len(part.data)
    return KeptClip(np.tile(part.data, times), starts, STRETCH * times, size)

def avatar(size, seed):
    clip = longest(size, seed)
    check_memory(clip)
    n = clip.count
    places = np.tile([[80.0, 0.0, size[0] / 2], [0.0, 80.0, size[1] / 2]], (n, 1, 1))
    shown = np.array([[*size, 0.0, 0.0, min(size)]] * 2)
    template = Template(clip, places, np.full((n, HEIGHT, WIDTH), 255, np.uint8),
                        np.zeros(n, np.float32), shown,
                        make_loop(slice(40, 90), np.full((n, n), 9.0)))
    around = np.zeros((n, 3, HEIGHT, WIDTH), np.uint8)
    lower = np.zeros((1, 3, 64, 128), np.float32).repeat(n, 0)
    arrays = template.arrays() | {"around": around, "rows.lower": lower}
    return IdentityFeatures(f"{seed:064}", arrays, {}, "photo")

def show(renderer, size, slot):
    batch = Batch.of(2, (size,), MOTION_DIM)
    batch.size[:] = size
    state, motion = renderer.init_state(2), torch.zeros(2, MOTION_DIM)
    active = torch.arange(2) == slot
    for n in range(5 * STRETCH):
        batch.speech[:] = n % 20 < 10
        renderer.step(motion, state, active, [slot], batch)

sizes = (64, 48), (1280, 720)
renderer = SwapTalkRenderer(EchoFaces(), 2, sizes)
renderer.set_identity(0, avatar(sizes[0], 0), [sizes[0]])
show(renderer, sizes[0], 0)  # libraries are loaded, buffers there
identity = avatar(sizes[1], 1)
latents = identity.arrays["rows.lower"].nbytes
before = psutil.Process().memory_info().rss
rest = {name: array.copy() for name, array in identity.arrays.items()}  # as read from a file
renderer.set_identity(1, IdentityFeatures("2" * 64, rest, {}, "photo"), [sizes[1]])
show(renderer, sizes[1], 1)
grown = psutil.Process().memory_info().rss - before - latents
assert 15_000_000 < len(rest["clip"]) < 21_000_000, len(rest["clip"])
print(grown, MOST_RESIDENT)
"""


def test_a_shown_avatar_stays_within_its_memory() -> None:
    """The longest and noisiest template of 720 lines, beside its latents."""
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    settings = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    out = subprocess.run(
        [sys.executable, "-c", MEASURE], env=settings, capture_output=True, text=True, check=False
    )
    assert out.returncode == 0, out.stderr
    grown, most = (int(word) for word in out.stdout.split())
    assert 0 < grown <= most
