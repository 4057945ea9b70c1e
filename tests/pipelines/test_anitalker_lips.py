"""Photos whose lips part are enrolled with closed lips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")

from pipelines.anitalker import lips
from pipelines.anitalker.batched import BatchedNetwork
from pipelines.anitalker.enrol import describe
from pipelines.anitalker.network import FlowWarp
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from pipelines.photo.decode import Image8
from pipelines.photo.detect import find_face
from pipelines.portrait.bake import CACHE
from pipelines.portrait.enrol import describe as describe_portrait
from pipelines.portrait.render import draw_rgb
from tests.support.small import TINY

PHOTO = sorted((Path(__file__).parents[2] / "cast").glob("*.png"))[0]


@pytest.fixture(scope="module")
def shut() -> Image8:
    return np.asarray(Image.open(PHOTO).convert("RGB"))


@pytest.fixture(scope="module")
def ajar(shut: Image8) -> Image8:
    """The same face, its mouth open."""
    identity = describe_portrait(shut, find_face(shut), "a" * 64)
    motion = torch.zeros(MOTION_DIM)
    motion[MOTION_INDEX["jawOpen"]] = 0.4
    return draw_rgb(CACHE.get(identity, (512, 512), torch.device("cpu")), motion).numpy()


def test_lips_that_part_are_closed_and_others_left_alone(shut: Image8, ajar: Image8) -> None:
    torch.manual_seed(0)
    network = BatchedNetwork(FlowWarp(TINY), 1)
    assert not lips.part(find_face(shut))
    assert "preview" not in describe(shut, find_face(shut), network, "b" * 64).arrays
    face = find_face(ajar)
    assert lips.part(face)
    identity = describe(ajar, face, network, "c" * 64)
    taken, canvas = identity.preview, identity.arrays["canvas"]
    assert lips.part(find_face(taken))
    assert not lips.part(find_face(canvas))
    rows = np.abs(taken.astype(int) - canvas).mean((1, 2))
    assert rows[: len(rows) // 4].max() < 1.0  # hair and forehead are the photo's
    wide = torch.from_numpy(canvas).permute(2, 0, 1)[None].float() / 127.5 - 1.0
    seen = identity.tensors["seen"].float()[None]
    x, y, side = (int(v) for v in identity.arrays["square"])
    cut = torch.nn.functional.interpolate(
        wide[:, :, y : y + side, x : x + side], (TINY.size,) * 2, mode="area"
    )
    assert float((cut - seen).abs().mean()) < 0.1  # the renderer sees them closed
