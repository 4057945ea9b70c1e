"""The comparison of renders sees what differs."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.speed.compare_renders import Clip, Version, differences, main

SOUND = np.random.default_rng(1).normal(size=4_000).astype(np.float32)
CLIP = Clip(("a", "b", "c"), SOUND, 0.0)


def test_equal_clips_and_other_sound_quality_do_not_differ():
    noisy = SOUND + np.float32(0.1) * np.roll(SOUND, 7)
    assert differences(CLIP, CLIP) == []
    assert differences(CLIP, replace(CLIP, sound=noisy)) == []


def test_every_difference_is_named():
    other = Clip(("a", "x", "x", "d"), np.concatenate([np.zeros(5, np.float32), SOUND]), 0.0)
    assert differences(CLIP, other) == [
        "3 and 4 frames",
        "2 frames differ, the first is number 1",
        "4000 and 4005 samples",
        "sound moved by 5 samples",
    ]


def test_a_version_that_cannot_render_fails_the_comparison(tmp_path, capsys):
    nothing = str(tmp_path)
    assert Version.of("old", Path(nothing)).checkout == tmp_path
    few = ["--avatars", "amara", "--pipelines", "portrait", "--seeds", "0"]
    assert main([nothing, nothing, *few, "--size", "17"]) == 1
    assert "3 differ" in capsys.readouterr().out
