"""Figures of what changes in a picture that should not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.motion.flicker import Flicker

SIZE = 4
LEFT = np.zeros((SIZE, SIZE), bool)
LEFT[:, :2] = True


def figures(levels: list[int], where: list[bool] | None = None) -> dict[str, dict[str, float]]:
    """Of a video whose left half has these grey levels, and whose right half is black."""
    flicker = Flicker({"left": LEFT, "right": ~LEFT})
    for level in levels:
        frame = np.zeros((SIZE * 3 // 2, SIZE), np.uint8)
        frame[:SIZE, :2] = level
        frame[SIZE:] = 255 - level  # colours do not count
        flicker.add(frame)
    return flicker.figures(np.array(where if where is not None else [True] * len(levels)))


def test_smooth_motion_changes_and_does_not_jitter() -> None:
    found = figures([10, 12, 14, 16, 18])
    assert found["left"] == {"change": 2.0, "worst": 2.0, "jitter": 0.0}
    assert found["right"] == {"change": 0.0, "worst": 0.0, "jitter": 0.0}


def test_a_flash_is_the_worst_frame() -> None:
    found = figures([10] * 200 + [30] + [10] * 199)["left"]
    assert found["change"] == pytest.approx(40 / 398, abs=1e-3)
    assert found["jitter"] == pytest.approx((10 + 20 + 10) / 398, abs=1e-3)
    assert figures([10] * 20 + [30] * 20)["left"]["worst"] > 5.0


def test_only_marked_frames_count() -> None:
    found = figures([10, 10, 10, 90, 10, 10], [True, True, True, False, False, True])
    assert found["left"]["change"] == 0.0
