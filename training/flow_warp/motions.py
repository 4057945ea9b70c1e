"""Random motion in the portrait's space: every channel, in the ranges that streams use.

Frame 0 of every bank is the resting face. About half of the mouths are those of speech, phones in
random order through the rules of `visemes`; the others mix shapes freely, so that no channel is
known only in company. Eyes, brows and head are drawn apart from the mouth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.motion.space import BLENDSHAPES, MOTION_DIM, MOTION_INDEX
from training.motion.performance import MOUTH, OUTPUTS, pose_mouth
from training.motion.visemes import blend
from training.speech.phones import LABELS, Phone

Motion = NDArray[np.float32]

_SPEECH_SHARE = 0.5
_PHONE_S = (0.05, 0.16)
_LOUDNESS_SD = 0.15
_FEATURES = BLENDSHAPES[: BLENDSHAPES.index("eyeBlinkLeft")]
_FREE_MOUTH = tuple(name for name in _FEATURES if name not in ("jawOpen", "mouthClose"))
_MOST = {"tongueOut": 0.3, "jawLeft": 0.5, "jawRight": 0.5, "cheekPuff": 0.6}
_BLINK_SHARE, _WINK_SHARE, _BROW_SHARE = 0.35, 0.06, 0.4
_HEAD_SD_DEG = {"headYaw": 5.0, "headPitch": 3.5, "headRoll": 3.5}
_HEAD_LIMIT_DEG = {"headYaw": 12.0, "headPitch": 8.0, "headRoll": 8.0}
_SHIFT_SD = {"headX": 0.03, "headY": 0.02, "headZ": 0.03}  # interocular distances
_GAZE_SD_DEG = {"gazeYaw": 6.0, "gazePitch": 4.0}
_LEVEL_SHARE = 0.2  # of frames that keep the head still


def motion_bank(seed: int, count: int) -> Motion:
    """Draw `count` motion vectors, float32 [count, MOTION_DIM]; the first is the resting face."""
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    chance = np.random.default_rng((seed, 0xFACE))
    bank = np.zeros((count, MOTION_DIM), np.float32)
    speech = _speech_mouths(chance, count)
    for row, spoken in zip(bank[1:], speech[1:], strict=True):
        if chance.random() < _SPEECH_SHARE:
            row[:] = spoken
        else:
            _free_mouth(row, chance)
        _eyes(row, chance)
        _head(row, chance)
    return bank


def _speech_mouths(chance: np.random.Generator, count: int) -> Motion:
    """Mouths at random instants of phones in random order, [count, MOTION_DIM]."""
    labels = sorted(LABELS)
    lengths = chance.uniform(*_PHONE_S, size=2 * count + 4)
    ends = np.cumsum(lengths)
    chosen = chance.choice(labels, size=len(lengths))
    spans = zip(chosen, ends - lengths, ends, strict=True)
    phones = [Phone(str(label), float(start), float(end)) for label, start, end in spans]
    times = np.sort(chance.uniform(0.2, float(ends[-1]) - 0.2, size=count))
    loud = np.clip(chance.normal(1.0, _LOUDNESS_SD, count), 0.6, 1.4)
    channels = pose_mouth(blend(phones, times), loud)
    motion = np.zeros((count, MOTION_DIM), np.float32)
    for name in (*MOUTH, "smile"):
        for target in OUTPUTS[name]:
            motion[:, MOTION_INDEX[target]] = channels[name]
    chance.shuffle(motion, axis=0)
    return motion


def _free_mouth(row: Motion, chance: np.random.Generator) -> None:
    if chance.random() < 0.7:
        row[MOTION_INDEX["jawOpen"]] = jaw = 0.75 * chance.beta(1.2, 1.8)
        if chance.random() < 0.15:
            row[MOTION_INDEX["mouthClose"]] = jaw * chance.random()
    for name in chance.choice(_FREE_MOUTH, size=int(chance.integers(0, 4)), replace=False):
        amount = _MOST.get(str(name), 0.9) * chance.beta(1.2, 1.6)
        row[MOTION_INDEX[str(name)]] = amount
        twin = _twin(str(name))
        if twin is not None and chance.random() < 0.7:
            row[MOTION_INDEX[twin]] = amount


def _eyes(row: Motion, chance: np.random.Generator) -> None:
    if chance.random() < _BLINK_SHARE:
        closed = 1.0 if chance.random() < 0.4 else chance.random()
        sides = [True, True] if chance.random() > _WINK_SHARE else [True, False]
        for name, moves in zip(("eyeBlinkLeft", "eyeBlinkRight"), sides, strict=True):
            row[MOTION_INDEX[name]] = closed * moves
    elif chance.random() < 0.3:
        _both(row, str(chance.choice(["eyeSquint", "eyeWide", "cheekSquint"])), chance)
    if chance.random() < _BROW_SHARE:
        kind = str(chance.choice(["browDown", "browInnerUp", "browOuterUp"]))
        if kind == "browInnerUp" or chance.random() < 0.3:
            row[MOTION_INDEX["browInnerUp"]] = 0.8 * chance.random()
        if kind != "browInnerUp":
            _both(row, kind, chance)
    for name, deviation in _GAZE_SD_DEG.items():
        row[MOTION_INDEX[name]] = np.clip(chance.normal(0.0, deviation), -16.0, 16.0)


def _head(row: Motion, chance: np.random.Generator) -> None:
    if chance.random() < _LEVEL_SHARE:
        return
    for name, deviation in _HEAD_SD_DEG.items():
        limit = _HEAD_LIMIT_DEG[name]
        row[MOTION_INDEX[name]] = limit * np.tanh(chance.normal(0.0, deviation) / limit)
    for name, deviation in _SHIFT_SD.items():
        row[MOTION_INDEX[name]] = chance.normal(0.0, deviation)


def _both(row: Motion, stem: str, chance: np.random.Generator) -> None:
    amount = chance.uniform(0.1, 0.9)
    for side in ("Left", "Right"):
        row[MOTION_INDEX[stem + side]] = amount


def _twin(name: str) -> str | None:
    """The same shape on the other side; what shifts the whole mouth or jaw has none."""
    if name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
        return None
    if name.endswith("Left"):
        return name.removesuffix("Left") + "Right"
    return name.removesuffix("Right") + "Left" if name.endswith("Right") else None
