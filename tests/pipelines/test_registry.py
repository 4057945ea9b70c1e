"""Systems by name: found without loading anything, options read and checked."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, cast

import pytest

from pipelines.anitalker.config import AniTalkerOptions, Playing
from pipelines.pipeline import Control, Material, System
from pipelines.registry import find_system, known_systems, read_options

CAST = Path(__file__).parents[2] / "cast"
NAMES = known_systems()


def test_ours_come_first() -> None:
    assert NAMES[:2] == ("portrait", "anitalker")


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(
        ValueError, match=r"unknown pipeline 'hologram'; known: portrait, anitalker"
    ):
        find_system("hologram")


@pytest.mark.parametrize("name", NAMES)
def test_a_system_says_what_it_is(name: str) -> None:
    system = find_system(name)
    assert system is find_system(name)
    assert system.name == name
    assert system.summary
    assert system.accepts <= {"photo", "video", "source"}
    areas = [width * height for width, height in system.sizes]
    assert areas == sorted(areas)
    assert len({control.name for control in system.controls}) == len(system.controls)
    for control in system.controls:
        assert control.check(control.default) == control.default


def test_systems_and_their_keys_need_no_torch() -> None:
    script = f"""
import sys
from pathlib import Path
from pipelines.pipeline import Material, NeedsWeights
from pipelines.registry import find_system, known_systems
for name in known_systems():
    system = find_system(name)
    lacks = system.missing(system.Options()) if isinstance(system, NeedsWeights) else ""
    if "photo" in system.accepts and not lacks:
        system.key(Material(photo=Path({str(CAST / "amara.png")!r})), system.Options())
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "key"),
    [("portrait", "fb472d2c683af4f0"), ("anitalker", "2905f3e74203a5ab")],
)
def test_keys_are_stable_across_releases(name: str, key: str) -> None:
    """A change here, or of the shipped renderer, orphans every enrolled avatar."""
    system = find_system(name)
    photo = Material(photo=CAST / "amara.png")
    assert system.key(photo, system.Options())[:16] == key


def test_a_photo_is_asked_for() -> None:
    system = find_system("anitalker")
    with pytest.raises(ValueError, match="photo"):
        system.key(Material(video=CAST / "amara.png"), system.Options())


def test_options_come_from_a_table_or_from_words() -> None:
    system = find_system("anitalker")
    table = {"precision": "bfloat16", "playing": {"ahead": 3, "smoothing": 0}}
    words = {"precision": "bfloat16", "playing.ahead": "3", "playing.smoothing": "0.0"}
    expected = AniTalkerOptions(precision="bfloat16", playing=Playing(ahead=3))
    assert read_options(system, table) == expected
    assert read_options(system, words) == expected
    assert read_options(system, {}) == AniTalkerOptions()


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"colour": "red"}, r"unknown option pipeline\.anitalker\.colour; known: renderer_weights"),
        ({"precision": "double"}, r"precision = 'double': must be one of float32, bfloat16"),
        ({"playing": 3}, r"playing = 3: must be a table"),
        ({"playing": 3, "playing.ahead": "2"}, r"playing = 3: must be a table"),
        ({"playing.ahead": "soon"}, r"playing\.ahead = 'soon': must be of type int"),
        ({"playing": {"smoothing": 1.0}}, r"smoothing must lie in \[0, 1\)"),
        ({"playing": {"steps": 0}}, "steps must be at least 1"),
        ({"playing.context": -1}, "must not be negative"),
        ({"motion_weights": 7}, r"motion_weights = 7: must be of type str"),
    ],
)
def test_wrong_options_are_refused(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_options(find_system("anitalker"), values)


@dataclass(frozen=True)
class Choices:
    steps: Literal[1, 2, 4] = 1


def test_choices_need_not_be_words() -> None:
    system = cast(System, SimpleNamespace(name="mine", Options=Choices))
    assert read_options(system, {"steps": "4"}).steps == read_options(system, {"steps": 4}).steps
    with pytest.raises(ValueError, match="steps = '3': must be one of 1, 2, 4"):
        read_options(system, {"steps": "3"})


def test_a_pipeline_that_cannot_be_imported_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "faulty.py").write_text("raise RuntimeError('no licence found')")
    told = tmp_path / "faulty-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text("[vivavoce.pipelines]\nfaulty = faulty:SYSTEM\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="'faulty' cannot be imported: no licence found"):
        find_system("faulty")


def test_options_check_themselves() -> None:
    with pytest.raises(ValueError, match="precision"):
        AniTalkerOptions(precision="double")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="motion_weights"):
        read_options(find_system("portrait"), {"motion_weights": ""})


@pytest.mark.parametrize("wrong", [-0.1, 2.1, float("nan"), "1", True, None])
def test_controls_refuse_what_is_no_strength(wrong: object) -> None:
    with pytest.raises(ValueError, match="gaze must"):
        Control("gaze", "eye movement").check(wrong)
