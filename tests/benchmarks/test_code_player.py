"""A generator's codes drawn window by window, beside those of a live stream."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.lips.sounds import Samples, white
from benchmarks.motion.code_player import CodePlayer
from benchmarks.motion.hops import activity
from benchmarks.speed.stand_ins import random_generator
from pipelines.anitalker.config import Playing
from pipelines.anitalker.generated_codes import GeneratedCodes
from pipelines.anitalker.published_codes import PublishedCodes, listener
from pipelines.audio.mel import MelConfig
from pipelines.diffusion.config import PRESETS
from pipelines.diffusion.stream import Window
from pipelines.identity import IdentityFeatures
from pipelines.motion.controls import control_row
from pipelines.motion.model import MotionModel
from pipelines.pipeline import HOP_SAMPLES

SMALL = {"down": (12, 16), "side_dim": 4, "adapter_dim": 4}
PUBLISHED = replace(PRESETS["mfcc_pose_only"], **SMALL, identity_dim=8)
OURS = replace(PRESETS["codes"], **SMALL, speech_blocks=1)
WINDOW = Window(context=3, ahead=2)
FRAMES = 14
SOUND = white(FRAMES * HOP_SAMPLES, -20.0, seed=0).astype(np.float32)


def face() -> IdentityFeatures:
    random = torch.Generator().manual_seed(1)
    code = torch.rand(20, generator=random) - 0.5
    start = torch.rand(PUBLISHED.identity_dim, generator=random)
    return IdentityFeatures(
        key="face", arrays={"code": code.numpy(), "start": start.numpy()}, meta={}
    )


def live(motion: MotionModel, wearer: IdentityFeatures, samples: Samples) -> Tensor:
    """Codes as a session gets them; the last `delay` frames of the sound are not drawn."""
    features, on = motion.features(), torch.ones(1, dtype=torch.bool)
    heard, state, controls = features.init_state(1), motion.init_state(1), control_row()
    motion.set_identity(state, 0, wearer)
    hops = torch.from_numpy(samples).view(-1, 1, HOP_SAMPLES)
    codes = [
        motion.step(features.step(hop, heard, on), torch.tensor([flag]), controls[None], state, on)
        for hop, flag in zip(hops, activity(samples), strict=True)
    ]
    return torch.cat(codes)[motion.delay :]


@pytest.fixture(params=["published", "ours"])
def played(request: pytest.FixtureRequest) -> tuple[CodePlayer, int, Tensor]:
    """A player, the steps of a live stream in WINDOW, and the stream's codes."""
    if request.param == "ours":
        generator, steps = random_generator(OURS), 1
        motion: MotionModel = GeneratedCodes(MelConfig(), generator, window=WINDOW)
    else:
        generator, steps = random_generator(PUBLISHED), 2
        playing = Playing(context=WINDOW.context, ahead=WINDOW.ahead, steps=steps)
        motion = PublishedCodes(generator, listener(generator), playing)
    player = CodePlayer.of(generator, face(), SOUND)
    return player, steps, live(motion, face(), SOUND)


@torch.no_grad()
def test_a_live_stream_is_one_of_the_ways(played: tuple[CodePlayer, int, Tensor]) -> None:
    player, steps, expected = played
    codes, _ = player.play(WINDOW, steps)
    assert codes.shape == (FRAMES, 20)
    assert 0 < len(expected) < FRAMES
    torch.testing.assert_close(codes[: len(expected)], expected)


@torch.no_grad()
def test_whole_utterance_is_one_window(played: tuple[CodePlayer, int, Tensor]) -> None:
    player, steps, _ = played
    whole, _ = player.play(Window(context=0, new=FRAMES), steps)
    parts, _ = player.play(WINDOW, steps)
    assert whole.shape == parts.shape
    assert not torch.allclose(whole, parts, atol=1e-3)
