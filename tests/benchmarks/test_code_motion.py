"""Figures of motion codes against the codes of a reference motion."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.baseline.signal_motion import SignalMotion
from benchmarks.lips.sounds import Clip
from benchmarks.motion.codes import Reference, drift
from pipelines.anitalker.mapped_codes import MappedCodes, MotionToCode
from pipelines.audio.mel import MelConfig
from training.speech.phones import Phone

LABELS = ("SIL", "M", "AA", "P", "UW", "S", "IY", "B", "AE", "T", "OW", "M", "AA", "SIL")


@pytest.fixture(scope="module")
def to_code() -> MotionToCode:
    torch.manual_seed(2)
    model = MotionToCode(hidden=16).requires_grad_(False)
    model.scale.fill_(0.2)
    return model


def clip(seed: int) -> Clip:
    ends = np.cumsum([0.8, *(0.12 + 0.02 * ((n + seed) % 5) for n in range(12)), 0.8])
    ends[-1] = 3.2
    spans = zip(LABELS, [0.0, *ends], ends, strict=False)
    phones = tuple(Phone(label, float(a), float(b)) for label, a, b in spans)
    noise = np.random.default_rng(seed).standard_normal(51_200) * 0.05
    return Clip(noise.astype(np.float32), phones)


@pytest.fixture(scope="module")
def reference(to_code: MotionToCode) -> Reference:
    return Reference([clip(n) for n in range(3)], to_code)


def test_the_reference_agrees_with_itself(reference: Reference) -> None:
    found = reference.figures(reference.codes)
    assert found["explained"] == found["r"] == found["change"] == 1.0
    assert found["parting"] > 0.95
    assert found["lag"] == found["closed"] == 0.0
    assert found["still"] < 0.05


def test_late_codes_are_found_late_and_trembling_ones_tremble(reference: Reference) -> None:
    late = [np.concatenate([codes[:1]] * 2 + [codes[:-2]]) for codes in reference.codes]
    assert reference.figures(late)["lag"] == 2.0
    noise = np.random.default_rng(0).standard_normal
    size = 0.3 * reference.codes[0].std()
    rough = [codes + size * noise(codes.shape) for codes in reference.codes]
    found, plain = reference.figures(rough), reference.figures(reference.codes)
    assert found["change"] > plain["change"]
    assert found["still"] > plain["still"] + 0.1
    assert found["explained"] < 1.0


def test_lips_that_stay_open_are_not_closed(reference: Reference) -> None:
    codes = np.concatenate(reference.codes)
    widest = codes[np.concatenate(reference.mouth)[:, 0].argmax()]
    ajar = [widest + 0.01 * c for c in reference.codes]
    assert reference.figures(ajar)["closed"] > 1.0


def test_a_stream_without_drift_stays_where_it_is(to_code: MotionToCode) -> None:
    sound = np.random.default_rng(1).standard_normal(16_000 * 8) * 0.05
    long = Clip(sound.astype(np.float32), (Phone("SIL", 0.0, 8.0),))
    found = drift(MappedCodes(SignalMotion(MelConfig()), to_code), long, minute_s=4)
    assert found["minutes"] == 2
    assert 0.0 < found["farthest_minute"] < 3.0
    assert found["change_per_frame"] > 0.0
