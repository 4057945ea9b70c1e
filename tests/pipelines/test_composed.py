"""Features, motion and renderer as one pipeline: slots, sizes, clears, and the offline loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.audio.vad import VoiceActivity
from pipelines.batch import Batch
from pipelines.clip import play
from pipelines.composed import ComposedPipeline
from pipelines.identity import IdentityFeatures
from pipelines.motion.diffusion import DiffusionMotion, load_motion
from pipelines.motion.lip_closure import parting_weights
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from pipelines.pipeline import HOP_SAMPLES, HasBackends, Size
from pipelines.registry import find_system
from pipelines.renderer import picture_row
from pipelines.streaming import SlotState, masked_write
from tests.support.vowels import babble, vowel

SIZES: tuple[Size, ...] = ((320, 180), (1280, 720))
FACE = IdentityFeatures("0" * 64, {"grey": np.array([40], np.uint8)}, {})
PARTING = parting_weights().numpy()
HEAD = [MOTION_INDEX[name] for name in ("headYaw", "headPitch", "headRoll")]
SHUT = 0.02  # of a fully open jaw
AFTER_CLEAR = 5  # frames, 200 ms

Sound = NDArray[np.float32]


@dataclass
class Counted(SlotState):
    frames: Tensor  # [B] int64: drawn or not
    cleared: Tensor  # [B] int64

    def clear(self, slots: Tensor) -> None:
        self.cleared += slots


class Grey:
    """A renderer with a state: grey pictures, lighter by 1 with each frame that went by."""

    motion_dim = MOTION_DIM

    def __init__(self, slots: int) -> None:
        self.shades = [0] * slots
        self.prepared: list[Size] = []

    def init_state(self, batch: int) -> Counted:
        return Counted(*torch.zeros(2, batch, dtype=torch.int64))

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        self.prepared.append(size)

    def set_identity(self, slot: int, identity: IdentityFeatures, sizes: Sequence[Size]) -> None:
        self.shades[slot] = int(identity.arrays["grey"][0])

    def step(
        self, motion: Tensor, state: SlotState, active: Tensor, slots: Sequence[int], batch: Batch
    ) -> None:
        assert isinstance(state, Counted)
        assert motion.shape == (batch.slots, MOTION_DIM)
        masked_write(state.frames, state.frames + 1, active)
        for slot in slots:
            with picture_row(batch, slot, torch.device("cpu")) as planes:
                planes[:] = self.shades[slot] + state.frames[slot]

    def still(self, slot: int, batch: Batch) -> None:
        batch.picture(slot)[:] = self.shades[slot]


class Played:
    """A pipeline whose steps are taken by hand."""

    def __init__(self, pipeline: ComposedPipeline, sizes: Sequence[Size]) -> None:
        self.pipeline = pipeline
        self.batch = Batch.of(pipeline.slots, sizes, pipeline.motion_dim)
        self.batch.size[:] = sizes[0]

    def step(self, hop: Sound, active: Sequence[bool], *, speech: bool = False) -> None:
        self.batch.hops[:] = hop
        self.batch.speech[:] = speech
        self.batch.active[:] = active
        self.pipeline.step(self.batch)
        self.batch.clear[:] = False


def grey(slots: int) -> Played:
    pipeline = ComposedPipeline(slots, SIZES, load_motion(), Grey(slots))
    for slot in range(slots):
        pipeline.set_identity(slot, FACE, SIZES[-1])
    return Played(pipeline, SIZES)


def hops(sound: Sound) -> Sound:
    return sound[: len(sound) // HOP_SAMPLES * HOP_SAMPLES].reshape(-1, HOP_SAMPLES)


def composed(name: str) -> ComposedPipeline:
    system = find_system(name)
    pipeline = system.build(1, system.Options(), "cpu")
    assert isinstance(pipeline, ComposedPipeline)
    return pipeline


def test_pictures_of_any_size_lie_in_their_rows() -> None:
    played = grey(3)
    batch = played.batch
    batch.size[2] = SIZES[1]
    batch.draw[:] = True, False, True
    played.step(vowel(0.04), [True, True, True])
    assert batch.drawn.tolist() == [True, False, True]
    assert batch.picture(0).shape == (270, 320)
    assert batch.picture(2).shape == (1080, 1280)
    assert (batch.picture(0) == 41).all()
    assert (batch.picture(2) == 41).all()
    assert not batch.planes[1].any()


def test_slots_that_rest_stand_still() -> None:
    played = grey(2)
    batch = played.batch
    batch.motion[1], batch.behaviour[1] = 7.0, 2
    for _ in range(3):
        batch.draw[:] = True, False
        played.step(vowel(0.04), [True, False])
    assert (batch.motion[1] == 7.0).all()
    assert batch.behaviour[1] == 2
    batch.draw[:] = True, True
    played.step(vowel(0.04), [True, True])
    assert batch.picture(0)[0, 0] == 44
    assert batch.picture(1)[0, 0] == 41, "its renderer did not advance either"


def test_slots_do_not_depend_on_their_neighbours() -> None:
    sound = hops(babble(2))
    together, alone = grey(3), grey(1)
    for slot, seed in enumerate((5, 9, 5)):
        together.pipeline.reset(slot, seed)
    alone.pipeline.reset(0, 9)
    for hop in sound:
        together.step(hop, [True] * 3, speech=True)
        alone.step(hop, [True], speech=True)
        np.testing.assert_allclose(together.batch.motion[1], alone.batch.motion[0], atol=2e-5)
    # Slots that hear the same are rows of one matrix product, which may round by their place.
    np.testing.assert_allclose(together.batch.motion[0], together.batch.motion[2], atol=2e-5)
    assert not np.allclose(together.batch.motion[0], together.batch.motion[1], atol=0.1)


def test_slots_that_step_in_turn_are_each_as_if_alone() -> None:
    """As the engine steps them on a CPU: to the bit, and the others do not notice."""
    sound = hops(babble(1))
    in_turn, alone = grey(3), [grey(1) for _ in range(3)]
    for slot in range(3):
        in_turn.pipeline.reset(slot, slot)
        alone[slot].pipeline.reset(0, slot)
    for n, hop in enumerate(sound):
        for slot in range(3):
            for batch, row in ((in_turn.batch, slot), (alone[slot].batch, 0)):
                batch.clear[row] = n == len(sound) // 2 and slot != 1
            in_turn.step(hop * (0.2 + slot), [slot == i for i in range(3)], speech=True)
            alone[slot].step(hop * (0.2 + slot), [True], speech=True)
            assert np.array_equal(in_turn.batch.motion[slot], alone[slot].batch.motion[0])
            assert in_turn.batch.behaviour[slot] == alone[slot].batch.behaviour[0]


def test_back_ends_share_their_states_and_are_timed_unnoticed() -> None:
    class Raised(DiffusionMotion):
        def step(self, *args: Any) -> Tensor:
            return super().step(*args) + 1.0

    torch_ = load_motion()
    other = Raised(torch_.mel, torch_.network)
    played = Played(ComposedPipeline(1, SIZES, torch_, Grey(1), exported=other), SIZES)
    usual = Played(ComposedPipeline(1, SIZES, torch_, Grey(1)), SIZES)
    pipeline = played.pipeline
    assert isinstance(pipeline, HasBackends)
    assert pipeline.backends == ("onnxruntime", "torch")
    assert usual.pipeline.backends == ("torch",)
    for n, hop in enumerate(hops(babble(1))):
        if n == 10:
            assert pipeline.time_backends().keys() == {"onnxruntime", "torch"}
        if n == 20:
            pipeline.use_backend("torch")
            assert pipeline.backends == ("torch",)
        for each in (played, usual):
            each.step(hop, [True], speech=True)
        expected = usual.batch.motion + (1.0 if n < 20 else 0.0)
        assert np.array_equal(played.batch.motion, expected), n


def test_a_slot_that_starts_over_is_like_a_fresh_one() -> None:
    used, fresh = grey(1), grey(1)
    used.pipeline.set_controls(0, {"expression": 0.0})
    for hop in hops(babble(2)):
        used.step(hop, [True], speech=True)
    used.pipeline.reset(0, 3)
    fresh.pipeline.reset(0, 3)
    used.batch.draw[:] = fresh.batch.draw[:] = True
    for hop in hops(babble(1)):
        for played in (used, fresh):
            played.step(hop, [True], speech=True)
        assert np.array_equal(used.batch.motion, fresh.batch.motion)
        assert np.array_equal(used.batch.planes, fresh.batch.planes), "the face stays"


def test_smaller_sizes_are_prepared_too() -> None:
    pipeline = grey(1).pipeline
    pipeline.prepare(FACE, SIZES[0])
    pipeline.prepare(FACE, SIZES[1])
    assert isinstance(pipeline.renderer, Grey)
    assert pipeline.renderer.prepared == [SIZES[0], *SIZES]


def test_wrong_calls_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ComposedPipeline(0, SIZES, load_motion(), Grey(0))
    pipeline = grey(1).pipeline
    with pytest.raises(ValueError, match="640 x 360; there are 320 x 180, 1280 x 720"):
        pipeline.set_identity(0, FACE, (640, 360))
    with pytest.raises(ValueError, match="unknown control 'brightness'; known: expression"):
        pipeline.set_controls(0, {"brightness": 1.0})
    with pytest.raises(ValueError, match=r"gaze must lie in \[0, 2\]"):
        pipeline.set_controls(0, {"gaze": 3.0})


def test_a_clear_reaches_every_module_of_its_slots_alone() -> None:
    played = grey(2)
    untouched = grey(2)
    for hop in hops(vowel(0.4)):
        for each in (played, untouched):
            each.step(hop, [True, True], speech=True)
    state = played.pipeline._renderer_state
    assert isinstance(state, Counted)
    played.batch.clear[:] = True, False
    for _ in range(AFTER_CLEAR):
        for each in (played, untouched):
            each.step(vowel(0.04), [True, True], speech=True)
    assert state.cleared.tolist() == [1, 0]
    assert np.array_equal(played.batch.motion[1], untouched.batch.motion[1])
    assert not np.array_equal(played.batch.motion[0], untouched.batch.motion[0])


def spoken(pipeline: ComposedPipeline, sound: Sound, clear_at: int | None, tail: Sound) -> Sound:
    """Motion [frames, D] of `sound`, cut short at hop `clear_at` if given, and `tail` after it."""
    pipeline.reset(0, 1)
    played, voice = Played(pipeline, find_system("portrait").sizes), VoiceActivity()
    before = hops(sound)[:clear_at]
    rows = []
    for n, hop in enumerate([*before, *hops(tail)]):
        voice(hop)
        played.batch.clear[:] = clear_at is not None and n == len(before)
        played.step(hop, [True], speech=voice.speech)
        rows.append(played.batch.motion[0].copy())
    return np.array(rows)


QUIET = np.zeros(20 * HOP_SAMPLES, np.float32)
LEAD_IN = np.concatenate([QUIET, babble(4)])


@pytest.fixture(scope="module")
def portrait() -> ComposedPipeline:
    return composed("portrait")


@pytest.fixture(scope="module")
def usual(portrait: ComposedPipeline) -> float:
    """The most that the head turns in a frame when nothing is cleared, degrees."""
    motion = spoken(portrait, LEAD_IN, None, QUIET)
    return float(np.abs(np.diff(motion[:, HEAD], axis=0)).max())


def test_lips_shut_within_200_ms_of_a_clear_and_the_head_goes_on(
    portrait: ComposedPipeline, usual: float
) -> None:
    """Whenever the clear comes in the middle of a word."""
    talk = spoken(portrait, LEAD_IN, None, QUIET) @ PARTING
    open_at = [at for at in range(38, 60) if talk[at - 1] > 0.1]
    assert len(open_at) >= 6
    for at in open_at[::2]:
        motion = spoken(portrait, LEAD_IN, at, QUIET)
        parting = motion @ PARTING
        assert parting[at - 1] > 0.1
        assert (parting[at + AFTER_CLEAR - 1 :] < SHUT).all()
        steps = np.abs(np.diff(motion[at - 1 :, HEAD], axis=0))
        assert steps.max() <= 1.2 * usual
        assert steps.max(0).min() > 0.0, "it does not freeze"


def test_lips_close_from_where_they_are(portrait: ComposedPipeline) -> None:
    """In the middle of an open vowel they need more than a frame."""
    motion = spoken(portrait, np.concatenate([QUIET, vowel(0.6)]), 30, QUIET)
    parting = (motion @ PARTING)[29:34]
    assert parting[0] > 0.2
    assert parting[1] > SHUT
    assert (np.diff(parting) <= 1e-6).all()


def test_speech_after_a_clear_is_spoken(portrait: ComposedPipeline) -> None:
    motion = spoken(portrait, LEAD_IN, 40, np.concatenate([QUIET, babble(1)]))
    assert (motion @ PARTING)[60:].max() > 0.2


@pytest.mark.parametrize("at", [40, 46])
def test_a_clear_brings_codes_home(at: int) -> None:
    """The same of a renderer that is moved by codes, as far as they are from that of rest."""
    pipeline = composed("anitalker")
    rest = pipeline.motion.to_code(torch.zeros(1, MOTION_DIM))[0].detach().numpy()
    rows = []
    for clear_at in (None, at):
        pipeline.reset(0, 1)
        pipeline.set_controls(0, {"head_motion": 0.0, "gaze": 0.0, "blink_rate": 0.0})
        played, voice = Played(pipeline, SIZES), VoiceActivity()
        for n, hop in enumerate([*hops(LEAD_IN)[:at], *hops(QUIET)]):
            voice(hop)
            played.batch.clear[:] = n == clear_at
            played.step(hop, [True], speech=voice.speech)
            rows.append(np.linalg.norm(played.batch.motion[0] - rest))
    (left, cleared) = np.array(rows).reshape(2, -1)
    talking = cleared[at - 1]
    assert cleared[at + AFTER_CLEAR - 1] < 0.15 * talking
    assert cleared[at : at + 3].sum() < left[at : at + 3].sum()


def test_a_clip_is_what_a_stream_shows() -> None:
    sound = hops(babble(1)).reshape(-1)
    played = grey(1)
    played.pipeline.reset(0, 4)
    delay = played.pipeline.look_ahead // HOP_SAMPLES
    voice, expected = VoiceActivity(), []
    for hop in hops(np.concatenate([sound, np.zeros(delay * HOP_SAMPLES, np.float32)])):
        voice(hop)
        played.step(hop, [True], speech=voice.speech)
        expected.append(played.batch.motion[0].copy())
    other = grey(1).pipeline
    shown = [(s.motion.copy(), s.picture) for s in play(other, sound, SIZES[0], seed=4, draw=())]
    assert len(shown) == len(sound) // HOP_SAMPLES
    assert np.array_equal([motion for motion, _ in shown], expected[delay:])
    assert all(picture is None for _, picture in shown)


def test_a_clip_draws_the_frames_that_are_wanted() -> None:
    pipeline, sound = grey(2).pipeline, hops(babble(1)).reshape(-1)
    delay = pipeline.look_ahead // HOP_SAMPLES
    seen = {
        n: int(shown.picture[0, 0])
        for n, shown in enumerate(play(pipeline, sound, SIZES[1], draw=range(2, 4)))
        if shown.picture is not None
    }
    assert seen == {2: 40 + delay + 3, 3: 40 + delay + 4}
    every = list(play(pipeline, sound, SIZES[1], controls={"expression": 0.0}))
    assert all(shown.picture is not None for shown in every)
    assert every[0].motion[: MOTION_INDEX["tongueOut"]].max() == 0.0
