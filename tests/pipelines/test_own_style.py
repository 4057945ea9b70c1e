"""A style fitted to curves of lips: of people who are made up, so that it is known what they do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.identity import IdentityFeatures
from pipelines.learnt import Learnt
from pipelines.motion.controls import control_row
from pipelines.motion.diffusion import DiffusionMotion, load_motion
from pipelines.motion.listening import Heard, Lips, listen
from pipelines.motion.own_style import LEAST_S, NO_STYLE, Fitted, _Fitting, fit
from pipelines.motion.reading import gap_of, parting_of
from pipelines.motion.ridge import Ridge
from pipelines.motion.space import BLENDSHAPES
from pipelines.motion.style import RECENT, STYLE, STYLE_DIM, OwnStyle
from pipelines.pipeline import FPS, HOP_SAMPLES, EnrolmentCancelled, QuietProgress
from tests.support.vowels import vowel

SECONDS = 12
AVERAGE = [0.0] * STYLE_DIM


def talk(seconds: float, seed: int) -> np.ndarray:
    """Syllables of any vowel and length, with pauses: a new one each time."""
    rng = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < seconds * 16_000:
        formants = (float(rng.uniform(300, 800)), float(rng.uniform(900, 2_300)))
        parts.append(vowel(float(rng.uniform(0.08, 0.3)), formants) * rng.uniform(0.5, 1.5))
        parts.append(np.zeros(int(rng.choice([0, 800, 3_200])), np.float32))
    samples = np.concatenate(parts).astype(np.float32)
    return samples[: int(seconds * FPS) * HOP_SAMPLES]


@pytest.fixture(scope="module")
def motion() -> DiffusionMotion:
    return load_motion()


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return talk(SECONDS, 1)


@pytest.fixture(scope="module")
def heard(motion: DiffusionMotion, sound: np.ndarray) -> Heard:
    return listen(sound, motion)


def learn(gap: np.ndarray, sound: np.ndarray, motion: DiffusionMotion) -> Fitted:
    return fit(gap.astype(np.float32), sound, motion, QuietProgress(Path()))


def person(
    motion: DiffusionMotion, heard: Heard, style: list[float], trait: np.ndarray | None = None
) -> np.ndarray:
    """The gap of somebody with this style, and perhaps a linear trait, who opens little."""
    lips = Lips(motion, heard)
    parting = lips.parting(np.array(style))
    if trait is not None:
        own = heard.recent @ trait
        own = (own - own.mean()) / own.std() * heard.gate
        parting = parting + own * 1.5 * parting.std()
    noise = np.random.default_rng(3).normal(0.0, 0.1 * parting.std(), len(parting))
    return gap_of(np.maximum(0.6 * parting + noise, 0.0))


def test_a_gap_is_read_of_the_parting_that_shows_it() -> None:
    partings = np.linspace(0.0, 0.8, 50)
    assert np.allclose(parting_of(gap_of(partings)), partings)
    assert np.isnan(parting_of(np.array([np.nan]))).all()


def test_what_is_heard_is_that_of_the_stream(
    motion: DiffusionMotion, sound: np.ndarray, heard: Heard
) -> None:
    """Chunks of any length hear the same, frame n being the one that a stream shows n-th."""
    assert heard.rows.shape == (SECONDS * FPS, motion.network.config.dim)
    again = listen(sound[: 150 * HOP_SAMPLES], motion)
    kept = 150 - motion.delay - 1  # its end hears silence
    assert np.allclose(again.rows[:kept], heard.rows[:kept], atol=1e-4)
    assert 0.5 < heard.gate.mean() <= 1.0


def test_another_style_is_recognised(motion: DiffusionMotion, heard: Heard) -> None:
    """By which numbers it differs from the average's, whatever the level and spread of the gap."""
    for sign in (-1.0, 1.0):
        gap = person(motion, heard, [0.0, 2.0 * sign, 0.0, 0.0]).astype(np.float32)
        fitting = _Fitting(motion, heard, gap)
        assert sign * fitting._style(np.isfinite(gap))[STYLE.index("plateau")] > 0.0


def test_a_trait_that_the_network_lacks_is_learnt(
    motion: DiffusionMotion, sound: np.ndarray, heard: Heard
) -> None:
    trait = np.random.default_rng(5).normal(size=heard.recent.shape[1])
    gap = person(motion, heard, AVERAGE, trait)
    fitted = learn(gap, sound, motion)
    assert fitted.learnt
    assert fitted.after > fitted.before + 0.1
    assert fitted.style.readout is not None
    assert fitted.style.readout.shape == (2, RECENT * heard.rows.shape[1] + 1)
    # and holds for what was not said in the video
    fresh = listen(talk(8, 2), motion)
    wanted, lips = person(motion, fresh, AVERAGE, trait), Lips(motion, fresh)
    plain, shown = lips.shown(NO_STYLE), lips.shown(fitted.style)
    assert np.corrcoef(shown, wanted)[0, 1] > np.corrcoef(plain, wanted)[0, 1] + 0.1
    # lips move as far as before, however little the person opens theirs
    assert 0.6 < shown.std() / plain.std() < 1.5
    assert abs(shown.mean() - plain.mean()) < 0.5 * plain.std()
    # and not at all where nobody speaks
    noise = np.random.default_rng(9).normal(0.0, 0.01, 100 * HOP_SAMPLES).astype(np.float32)
    quiet = Lips(motion, listen(noise, motion))
    for row in fitted.style.readout:
        assert np.abs(quiet.read(row)[50:]).max() < 0.01


def test_lips_that_have_nothing_to_do_with_the_sound_teach_nothing(
    motion: DiffusionMotion, sound: np.ndarray
) -> None:
    steps = np.random.default_rng(7).normal(size=SECONDS * FPS + 4)
    gap = 0.02 + 0.01 * np.convolve(steps, np.ones(5) / 2, "valid")
    fitted = learn(gap, sound, motion)
    assert fitted.style is NO_STYLE
    assert "as the average person's" in fitted.describe()


def test_somebody_average_is_left_average(
    motion: DiffusionMotion, sound: np.ndarray, heard: Heard
) -> None:
    """But for what noise is in their curve, which is no trait."""
    fitted = learn(person(motion, heard, AVERAGE), sound, motion)
    assert not fitted.learnt
    assert fitted.before > 0.9


def test_too_little_speech_teaches_nothing(
    motion: DiffusionMotion, sound: np.ndarray, heard: Heard
) -> None:
    gap = person(motion, heard, AVERAGE)
    gap[int((LEAST_S - 2.0) * FPS) :] = np.nan
    fitted = learn(gap, sound, motion)
    assert fitted.style is NO_STYLE
    assert not fitted.learnt
    assert "too little" in fitted.describe()
    assert learn(np.full_like(gap, np.nan), sound, motion).seconds == 0.0


def test_a_sound_that_comes_late_is_moved(
    motion: DiffusionMotion, sound: np.ndarray, heard: Heard
) -> None:
    gap = person(motion, heard, AVERAGE)
    early = np.concatenate([gap[4:], np.full(4, np.nan)])
    assert learn(gap, sound, motion).lag == 0
    assert learn(early, sound, motion).lag == 4


def test_curve_and_sound_must_be_of_one_length(motion: DiffusionMotion, sound: np.ndarray) -> None:
    with pytest.raises(ValueError, match="10 frames need 6400 samples"):
        learn(np.zeros(10), sound, motion)


def test_fitting_can_be_cancelled(motion: DiffusionMotion, sound: np.ndarray) -> None:
    class Impatient(QuietProgress):
        def __call__(self, share: float, stage: str) -> None:
            if share > 0.2:
                raise EnrolmentCancelled

    with pytest.raises(EnrolmentCancelled):
        fit(np.zeros(SECONDS * FPS, np.float32), sound, motion, Impatient(Path()))


def test_a_style_moves_its_own_avatar_only(motion: DiffusionMotion, sound: np.ndarray) -> None:
    """Two slots hear the same; one has a style, which a change of face takes away again."""
    readout = np.zeros((2, RECENT * motion.network.config.dim + 1), np.float32)
    readout[0, -1] = 0.1
    own = OwnStyle(np.array([0.0, 1.0, 1.0, 0.0], np.float32), readout)
    with_style = IdentityFeatures("1" * 64, own.arrays(), {})
    without = IdentityFeatures("2" * 64, {}, {})

    def play(first: IdentityFeatures) -> np.ndarray:
        features, state = motion.features(), motion.init_state(2, seeds=torch.tensor([3, 3]))
        hearing = features.init_state(2)
        motion.set_identity(state, 0, with_style)
        motion.set_identity(state, 0, first)
        active, rows = torch.ones(2, dtype=torch.bool), []
        for hop in torch.from_numpy(sound.reshape(-1, HOP_SAMPLES)[:60].copy()):
            heard = features.step(hop.repeat(2, 1), hearing, active)
            controls = control_row().repeat(2, 1)
            rows.append(motion.step(heard, active, controls, state, active).clone().numpy())
        return np.stack(rows)

    with torch.inference_mode():
        one, other = play(with_style), play(without)
    assert np.array_equal(one[:, 1], other[:, 1])
    lips = slice(0, BLENDSHAPES.index("tongueOut"))
    assert np.allclose(other[:, 0, lips], other[:, 1, lips], atol=1e-4)
    assert np.abs(one[:, 0, lips] - one[:, 1, lips]).max() > 0.01


def test_ridge_is_gated_least_squares_that_stays_small() -> None:
    rng = np.random.default_rng(0)
    rows, weights = rng.normal(size=(400, 6)) * [1, 2, 3, 4, 5, 6] + 1.0, rng.normal(size=6)
    gate = rng.choice([0.0, 0.5, 1.0], size=400)
    values = (rows @ weights + 2.0) * gate
    everything, half = np.ones(400, bool), rng.random(400) < 0.5
    ridge = Ridge(rows, gate)
    assert np.allclose(ridge.solver(1e-9, everything)(values), [*weights, 2.0])
    assert np.allclose(ridge.solver(1e-9, half)(values[half]), [*weights, 2.0])
    heavy = ridge.solver(1e9, everything)(values)
    assert np.abs(heavy[:-1]).max() < 1e-4
    assert heavy[-1] == pytest.approx((gate @ values) / (gate @ gate), rel=1e-3)


@given(st.booleans(), st.booleans(), st.text(max_size=20))
def test_what_was_learnt_is_kept_whole(
    tmp_path_factory: pytest.TempPathFactory, readout: bool, photo: bool, note: str
) -> None:
    numbers = np.arange(5, dtype=np.float32)
    learnt = Learnt(
        style=OwnStyle(numbers[:STYLE_DIM], numbers if readout else None),
        network="a" * 64,
        video="b" * 64,
        photo=b"\xff\xd8 a photo" if photo else None,
        note=note,
    )
    path = tmp_path_factory.mktemp("learnt") / "one.learnt"
    path.write_bytes(learnt.save())
    again = Learnt.load(path)
    assert (again.network, again.video, again.photo, again.note) == (
        learnt.network, learnt.video, learnt.photo, learnt.note,
    )  # fmt: skip
    assert np.array_equal(again.style.style, learnt.style.style)
    assert (again.style.readout is not None) == readout
    assert again.style_for("a" * 64) is again.style
    assert again.style_for("c" * 64).readout is None


def test_what_was_learnt_may_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "one.learnt"
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="is damaged"):
        Learnt.load(path)
