"""Photos of a single tone, and what is painted into them."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

pytest.importorskip("mediapipe")

from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from pipelines.photo.detect import find_face
from pipelines.photo.placement import filling
from pipelines.photo.tones import tone_of
from pipelines.portrait.bake import bake
from pipelines.portrait.enrol import describe
from pipelines.portrait.render import draw_rgb
from training.faces.cast import CAST
from training.faces.portrait import paint_portrait

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

DARK, LIGHT = (40, 22, 8), (255, 238, 205)


def tensor(photo: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1).float() / 255.0


@pytest.fixture(scope="module")
def coloured() -> Image.Image:
    pixels = paint_portrait(CAST["lucia"], 512).rgb
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))


@pytest.fixture(scope="module")
def sepia(coloured: Image.Image) -> Image.Image:
    return ImageOps.colorize(coloured.convert("L"), DARK, LIGHT)


def as_jpeg(photo: Image.Image) -> Image.Image:
    photo.save(out := io.BytesIO(), "JPEG", quality=75)
    return Image.open(out).convert("RGB")


def test_of_a_coloured_photo_nothing_changes(coloured: Image.Image) -> None:
    assert torch.equal(tone_of(tensor(coloured)), torch.eye(3, 4))


@pytest.mark.parametrize("spoil", [lambda p: p, as_jpeg], ids=["as made", "jpeg"])
def test_a_red_takes_on_the_tone_of_a_print(sepia: Image.Image, spoil: object) -> None:
    assert callable(spoil)
    tone = tone_of(tensor(spoil(sepia)))
    red = torch.tensor([0.6, 0.2, 0.2, 1.0])
    light = float(red[:3] @ torch.tensor([0.30, 0.59, 0.11]))
    share = (light - DARK[1] / 255) / ((LIGHT[1] - DARK[1]) / 255)  # of the way, by its brightness
    wanted = [(d + share * (one - d)) / 255 for d, one in zip(DARK, LIGHT, strict=True)]
    assert (tone @ red).tolist() == pytest.approx(wanted, abs=0.04)


def test_a_mouth_opens_in_the_tone_of_the_photo(sepia: Image.Image) -> None:
    photo = np.asarray(sepia)
    identity = describe(photo, find_face(photo), "0" * 64)
    baked = bake(identity, (512, 512), filling((512, 512)))
    motion = torch.zeros(MOTION_DIM)
    motion[MOTION_INDEX["jawOpen"]] = 0.9
    shown = np.asarray(draw_rgb(baked, motion).numpy()).astype(float)
    changed = np.abs(shown - identity.arrays["canvas"]).max(axis=2) > 20.0
    assert changed.sum() > 500  # the mouth
    seen = shown[changed]
    share = (seen.mean(axis=1) - np.mean(DARK)) / (np.mean(LIGHT) - np.mean(DARK))
    wanted = np.array(DARK) + share[:, None] * np.subtract(LIGHT, DARK)
    away = np.abs(seen - wanted).max(axis=1)
    assert np.quantile(away, 0.95) < 8.0  # 14 with a red mouth
