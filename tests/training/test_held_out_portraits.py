"""Portraits for validation alone: nothing that shows the same may be trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faces.choose import QUOTAS, attributes_of, choose, groups
from training.portraits.held_out import Row, may_train, prompt_of, read_index


def row(file: str, yaw: float = 0.0, height: float = 160.0) -> Row:
    """A row of an index."""
    pose = {"face_height_px": height, "yaw_deg": yaw, "pitch_deg": 9.0, "roll_deg": 0.1}
    looks = {"lip_gap": 0.001, "saturation": 0.3, "sharpness": 300.0}
    return {"file": file, **{name: str(value) for name, value in (pose | looks).items()}}


def test_variants_of_prompt_and_pose_are_kept_from_training() -> None:
    held = [row("Old-man-12.jpg", yaw=1.0)]
    same_prompt = row("old-man-734.jpg", yaw=5.0)
    same_pose = row("Wise-king-8.jpg", yaw=1.005)
    others = [row("Old-man-with-hat-12.jpg", yaw=2.0), row("Wise-king-9.jpg", yaw=1.02)]
    assert may_train([*held, same_prompt, same_pose, *others], held) == others


def test_the_number_alone_is_no_word_of_a_prompt() -> None:
    assert prompt_of("50-year-old-yoga-mom-1389.jpg") == "50-year-old-yoga-mom"
    assert prompt_of("Doctor-7.jpg") == prompt_of("doctor-21.png") == "doctor"


def test_what_is_committed_is_a_hundred_different_people() -> None:
    rows = read_index()
    assert len(rows) == len(groups(rows)) == 100
    assert may_train(rows) == []
    assert choose(rows, 100) == rows
    held = [attributes_of(each) for each in rows]
    for name in ("woman", "man", "old", "african", "east asian", "european"):
        assert sum(name in found for found in held) >= QUOTAS[name] / 2


def test_a_chain_of_prompts_and_poses_is_one_group() -> None:
    rows = [row("a-man-1.jpg", 1.0), row("a-man-2.jpg", 2.0), row("b-man-3.jpg", 2.0)]
    assert [len(group) for group in groups([*rows, row("c-man-4.jpg", 3.0)])] == [3, 1]


def test_fewer_suitable_ones_than_wanted_are_refused() -> None:
    with pytest.raises(ValueError, match="2 portraits wanted, 1 are suitable"):
        choose([row("old-man-1.jpg"), row("necromancer-2.jpg", 3.0)], 2)


def test_another_table_is_no_index(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("file,size\na.jpg,3\n")
    with pytest.raises(ValueError, match="lacks"):
        read_index(path)
