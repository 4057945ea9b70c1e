"""Figures of faces move the right way when pictures are damaged, and say nothing of sound ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.avatars import CAST, enrolled
from benchmarks.faces.__main__ import find_photos, main
from benchmarks.faces.figures import Described, Figures, across_lids, measure
from benchmarks.faces.mesh import MeshReader
from benchmarks.faces.poses import POSES, SPEECH
from benchmarks.faces.studio import Picture, Studio
from benchmarks.faces.summary import confuse, summarise
from pipelines.photo.curves import face_height
from pipelines.portrait.system import SYSTEM

PEOPLE = ("mei", "omar")
SIZE = (256, 256)


@dataclass(frozen=True)
class Drawn:
    """One person's pictures."""

    source: Picture
    looks: dict[str, Picture]
    speech: list[Picture]

    def instead(self, name: str, look: Picture) -> Drawn:
        return replace(self, looks=self.looks | {name: look})


@pytest.fixture(scope="module")
def reader() -> Iterator[MeshReader]:
    mesh = MeshReader()
    yield mesh
    mesh.close()


@pytest.fixture(scope="module")
def drawn() -> dict[str, Drawn]:
    studio, found = Studio(SYSTEM, SIZE), {}
    for name in PEOPLE:
        face = enrolled(SYSTEM, CAST / f"{name}.png")
        source = cv2.resize(face.preview, SIZE, interpolation=cv2.INTER_AREA)
        looks = {pose: studio.look(face, values) for pose, values in POSES.items()}
        found[name] = Drawn(np.asarray(source), looks, studio.play(face, SPEECH))
    return found


@pytest.fixture(scope="module")
def look(reader: MeshReader) -> Callable[[Drawn], tuple[Figures, Described]]:
    return lambda person: measure(person.source, person.looks, person.speech, reader)


Look = Callable[[Drawn], tuple[Figures, Described]]


def value(figures: Figures, name: str) -> float:
    found = figures[name]
    assert found is not None
    return found


def around_mouth(picture: Picture, reader: MeshReader) -> tuple[slice, slice]:
    points = reader.read(picture)
    assert points is not None
    x, y = points[[13, 14, 61, 291], :2].mean(0)
    half = 0.25 * face_height(points)
    return slice(int(y - half), int(y + half)), slice(int(x - half), int(x + half))


def test_sound_pictures_keep_the_bounds(drawn: dict[str, Drawn], look: Look) -> None:
    for person in drawn.values():
        figures, _ = look(person)
        assert figures["faces_lost"] == 0
        assert value(figures, "gap_shut") < 0.01
        assert value(figures, "gap_widest") > 0.07
        assert value(figures, "lids_range") < 0.5
        assert value(figures, "lids_across") < 0.5
        assert value(figures, "colour_shift") < 2
        assert value(figures, "background_change") < 1
        assert value(figures, "flicker_upper_face") < 0.5
        assert value(figures, "yaw_range") > 10


def test_lips_and_lids_that_stay_are_told(drawn: dict[str, Drawn], look: Look) -> None:
    person = drawn["mei"]
    stiff = person.instead("widest", person.looks["rest"]).instead("blink", person.looks["rest"])
    stiff = stiff.instead("m", person.looks["widest"])
    figures, _ = look(stiff)
    assert value(figures, "gap_widest") < 0.02
    assert value(figures, "gap_shut") > 0.07
    assert value(figures, "lids_range") > 0.9
    assert value(figures, "lids_across") > 0.9


@pytest.mark.parametrize("roll", [0.0, 25.0])
def test_lids_are_read_across_the_eye_however_the_head_rolls(roll: float) -> None:
    points = np.zeros((478, 3))
    for upper, lower, left, right in ((159, 145, 33, 133), (386, 374, 362, 263)):
        points[[left, right], 0] = 0.0, 50.0
        points[upper] = 28.0, -10.0, 7.0
        points[lower] = 22.0, 3.0, 0.0
    turn = np.exp(1j * np.radians(roll)) * (points[:, 0] + 1j * points[:, 1])
    points[:, 0], points[:, 1] = turn.real, turn.imag
    assert across_lids(points) == pytest.approx(13.0 / 50.0)


def test_a_smeared_mouth_is_less_sharp(
    drawn: dict[str, Drawn], look: Look, reader: MeshReader
) -> None:
    person = drawn["omar"]
    where = around_mouth(person.looks["widest"], reader)
    smeared = person.looks["widest"].copy()
    smeared[where] = cv2.GaussianBlur(smeared[where], (0, 0), 2.5)
    sound, _ = look(person)
    figures, _ = look(person.instead("widest", smeared))
    assert value(figures, "mouth_sharpness") < 0.8 * value(sound, "mouth_sharpness")
    assert value(figures, "cheek_sharpness") > 0.8 * value(sound, "cheek_sharpness")


def test_dark_teeth_are_told(drawn: dict[str, Drawn], look: Look, reader: MeshReader) -> None:
    person = drawn["mei"]
    laughs = replace(person, source=person.looks["laugh"])  # a photo that shows teeth
    figures, _ = look(laughs)
    assert 0.95 < value(figures, "teeth_kept") < 1.1
    dark = laughs
    for name in ("widest", "ee", "smile", "laugh"):
        picture = person.looks[name].copy()
        where = around_mouth(picture, reader)
        picture[where] = (picture[where] * 0.72).astype(np.uint8)
        dark = dark.instead(name, picture)
    figures, _ = look(dark)
    assert value(figures, "teeth_kept") < 0.85


def test_colours_and_backgrounds_that_change_are_told(drawn: dict[str, Drawn], look: Look) -> None:
    person = drawn["omar"]
    sound, _ = look(person)
    red = person.looks["rest"] + np.array([24, 0, -12])
    figures, _ = look(person.instead("rest", red.clip(0, 255).astype(np.uint8)))
    assert value(figures, "colour_shift") > 5
    turned = np.roll(person.looks["yaw 12"], 9, axis=1)
    turned[:20] = 255 - turned[:20]
    figures, _ = look(person.instead("yaw 12", turned))
    assert value(figures, "background_change") > value(sound, "background_change") + 1


def test_a_grey_photo_with_a_red_mouth_is_told(drawn: dict[str, Drawn], look: Look) -> None:
    person = drawn["mei"]

    def grey(picture: Picture) -> Picture:
        return np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)

    kept = Drawn(
        grey(person.source),
        {name: grey(picture) for name, picture in person.looks.items()},
        person.speech,
    )
    assert value(look(kept)[0], "mouth_chroma_gain") < 0.5
    red = kept.instead("widest", person.looks["widest"])
    assert value(look(red)[0], "mouth_chroma_gain") > 3


def test_still_parts_that_flicker_are_told(drawn: dict[str, Drawn], look: Look) -> None:
    person = drawn["mei"]
    flashing = [
        (frame * (0.97 if n % 2 else 1.0)).astype(np.uint8) for n, frame in enumerate(person.speech)
    ]
    sound, _ = look(person)
    figures, _ = look(replace(person, speech=flashing))
    for part in ("background", "upper_face"):
        assert value(figures, f"flicker_{part}") > value(sound, f"flicker_{part}") + 2


def test_another_person_is_told(drawn: dict[str, Drawn], look: Look) -> None:
    mei, omar = drawn["mei"], drawn["omar"]
    sound, own = look(mei)
    figures, swapped = look(mei.instead("rest", omar.looks["rest"]))
    for name in ("proportions_apart", "look_apart"):
        assert value(figures, name) > 2 * value(sound, name)
    other_figures, other = look(omar)
    for found, described, confused in ((sound, own, 0), (figures, swapped, 1)):
        confuse({"mei": found, "omar": other_figures}, {"mei": described, "omar": other})
        assert found["people_confused"] == confused
        assert other_figures["people_confused"] == 0


def test_no_face_is_counted_and_leaves_its_figures_out(drawn: dict[str, Drawn], look: Look) -> None:
    person = drawn["mei"]
    figures, _ = look(person.instead("blink", np.full_like(person.source, 90)))
    assert figures["faces_lost"] == 1
    assert figures["lids_range"] is None


def test_bounds_are_counted_by_share() -> None:
    rows: dict[str, Figures] = {
        f"photo {n}": {"lids_range": 0.3 if n < 9 else 0.6, "teeth_kept": None} for n in range(10)
    }
    summary = summarise("portrait", rows)
    lids = summary["bounds"]["lids_range"]
    assert (lids["share"], lids["wanted"], lids["kept"]) == (0.9, 0.95, False)
    assert summarise("anitalker", rows)["bounds"]["lids_range"]["kept"]
    assert summary["bounds"]["teeth_kept"]["share"] is None
    assert summary["worst"]["lids_range"][0] == ["photo 9", 0.6]


def test_photos_are_spread_over_a_folder_and_chosen_by_name(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.PNG", "c.webp", "d.jpg", "e.txt"):
        (tmp_path / name).touch()
    assert [photo.name for photo in find_photos(tmp_path, None, 2)] == ["a.jpg", "c.webp"]
    index = tmp_path / "index.csv"
    index.write_text("file,face_height_px,yaw_deg,pitch_deg,roll_deg\nd.jpg,1,2,3,4\n")
    assert [photo.name for photo in find_photos(tmp_path, index, None)] == ["d.jpg"]


def test_a_folder_becomes_sheets_and_figures_without_paths(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    (photos / "mei.png").write_bytes((CAST / "mei.png").read_bytes())
    (photos / "nobody.png").write_bytes(
        cv2.imencode(".png", np.full((300, 300, 3), 120, np.uint8))[1].tobytes()
    )
    main([str(photos), "--out", str(out), "--size", "256"])
    text = (out / "figures.json").read_text()
    found = json.loads(text)["portrait"]
    assert str(tmp_path) not in text
    assert list(found["photos"]) == ["mei"]
    assert found["refused"] == {"nobody": "no_face"}
    made = sorted(path.name for path in (out / "portrait").iterdir())
    assert made == ["_overview_01.png", "mei.png"]
