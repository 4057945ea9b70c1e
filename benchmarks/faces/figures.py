"""Figures of one face from its pictures alone: what lips, lids, teeth, skin and the rest do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.faces import areas
from benchmarks.faces.likeness import Array, describe, described_apart, proportions_apart
from benchmarks.faces.mesh import MeshReader, Points
from benchmarks.faces.poses import SHUT, TEETH
from benchmarks.faces.studio import Picture, to_i420, to_rgb
from benchmarks.motion.flicker import Flicker
from pipelines.photo.curves import face_height, head_angles, lid_opening, lip_gap

SOURCE = "source"
_PARTED = 0.012  # gap over face height from which something shows between the lips
_TEETH_SHARE = 0.15  # of what lies between the lips: with fewer such pixels no teeth are seen
_TEETH_LEVEL = 0.62  # of the cheeks' lightness: darker ones are no teeth
_BRIGHT = 85  # percentile of the teeth's lightness that is compared, clear of gaps and shadow
_TURNED = ("yaw -12", "yaw 12", "turned, a")
_LIDS = ((159, 145, 33, 133), (386, 374, 362, 263))  # upper, lower, corners of either eye

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Described:
    """A source and its drawn looks, [cells, codes] each; who is who is told across people."""

    source: Array
    drawn: Mapping[str, Array] = field(default_factory=dict)


def measure(
    source: Picture, looks: Mapping[str, Picture], speech: Sequence[Picture], reader: MeshReader
) -> tuple[Figures, Described]:
    """All figures of one face; None where a picture allows none, or shows no face.

    Args:
        source: the photo in the frame's crop and size.
        looks: of `poses.POSES`, by name.
        speech: `poses.SPEECH`, under a still head.

    Raises:
        ValueError: no face is seen in the source.
    """
    points = reader.read(source)
    if points is None:
        raise ValueError("FaceMesh sees no face in the source")
    meshes = {name: reader.read(look) for name, look in looks.items()}
    seen = {name: mesh for name, mesh in meshes.items() if mesh is not None}
    figures: Figures = {"faces_lost": float(len(meshes) - len(seen))}
    figures |= _lips(points, seen) | _lids(points, seen) | _turns(seen)
    figures |= _teeth(source, points, looks, seen)
    figures |= _skin(source, points, looks, seen) | _sharpness(source, points, looks, seen)
    figures |= _still(source, points, looks, speech)
    drawn = {name: describe(looks[name], seen[name]) for name in ("rest", *_TURNED) if name in seen}
    described = Described(describe(source, points), drawn)
    figures |= _identity(points, seen, described)
    return {name: _round(value) for name, value in figures.items()}, described


def _round(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


def _lips(source: Points, seen: Mapping[str, Points]) -> Figures:
    gaps = {name: gap(points) for name, points in seen.items()}
    shut = [gaps[name] for name in SHUT if name in gaps]
    return {
        "gap_source": gap(source),
        "gap_rest": gaps.get("rest"),
        "gap_shut": max(shut, default=None),
        "gap_fv": gaps.get("f v"),
        "gap_widest": gaps.get("widest"),
    }


def _lids(source: Points, seen: Mapping[str, Points]) -> Figures:
    """Openness with the lids shut, and at rest, over the photo's own; `lids_across` without what
    the points lie apart along the lids."""
    own = lid_opening(flat(source))
    blink = seen.get("blink")
    shares = {pose: lid_opening(flat(points)) / own for pose, points in seen.items()}
    return {
        "lids_source": own,
        "lids_rest": shares.get("rest"),
        "lids_half": shares.get("half blink"),
        "lids_range": shares.get("blink"),
        "lids_across": None if blink is None else across_lids(blink) / across_lids(source),
    }


def across_lids(points: Points) -> float:
    """How far the lids are apart across the eyes, over the eyes' width, mean of both.

    FaceMesh's points of upper and lower lid also lie about 0.1 of the width apart along the eye,
    open or shut: `lid_opening` counts that, and never reads 0.35 of an eye open by 0.28.
    """
    apart = []
    for upper, lower, *corners in _LIDS:
        axis = points[corners[1], :2] - points[corners[0], :2]
        between = points[lower, :2] - points[upper, :2]
        apart.append(abs(float(axis[0] * between[1] - axis[1] * between[0])) / float(axis @ axis))
    return float(np.mean(apart))


def _turns(seen: Mapping[str, Points]) -> Figures:
    """How far the head turns and nods between its extremes, degrees as the mesh reads them."""
    figures: Figures = {}
    for name, (low, high), axis in (
        ("yaw_range", ("yaw -12", "yaw 12"), 0), ("pitch_range", ("pitch -8", "pitch 8"), 1),
    ):  # fmt: skip
        both = low in seen and high in seen
        angles = [head_angles(seen[pose])[axis] for pose in (low, high)] if both else None
        figures[name] = None if angles is None else angles[1] - angles[0]
    return figures


def flat(points: Points) -> Points:
    """As seen in the picture: FaceMesh sets lips that meet up to 0.02 face heights apart in depth,
    lower behind upper, which is no gap."""
    return np.asarray(points * (1.0, 1.0, 0.0))


def gap(points: Points) -> float:
    """Of the inner lips in the picture, over the face height."""
    return lip_gap(flat(points))


def lab(picture: Picture) -> NDArray[np.float32]:
    """CIE L*a*b*, [H, W, 3]."""
    scaled = np.ascontiguousarray(picture).astype(np.float32) / 255.0
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2Lab))


def teeth_lightness(picture: Picture, points: Points) -> float | None:
    """L* of the teeth that show between the lips; None where none do."""
    inside = areas.inner_mouth(picture, points)
    if gap(points) < _PARTED or inside.sum() < 12:
        return None
    colours = lab(picture)
    skin = np.median(colours[areas.skin(picture, points)], axis=0)
    lips = np.median(colours[areas.lips(picture, points)], axis=0)
    within = colours[inside]
    less_red = within[:, 1] <= 0.5 * (lips[1] + min(lips[1], 0.0)) + 1.0
    teeth = within[less_red & (within[:, 0] > _TEETH_LEVEL * skin[0])]
    if len(teeth) < _TEETH_SHARE * len(within):
        return None
    return float(np.percentile(teeth[:, 0], _BRIGHT))


def _teeth(
    source: Picture, points: Points, looks: Mapping[str, Picture], seen: Mapping[str, Points]
) -> Figures:
    drawn = [teeth_lightness(looks[name], seen[name]) for name in TEETH if name in seen]
    most = max((level for level in drawn if level is not None), default=None)
    own = teeth_lightness(source, points)
    skin = float(np.median(lab(source)[areas.skin(source, points)][:, 0]))
    return {
        "teeth_source": own,
        "teeth_kept": None if own is None else (most or 0.0) / own,
        "teeth_over_skin": None if most is None else most / skin,
        "teeth_looks": float(sum(level is not None for level in drawn)),
    }


def _skin(
    source: Picture, points: Points, looks: Mapping[str, Picture], seen: Mapping[str, Points]
) -> Figures:
    """How far the skin's mean colour is from the photo's at rest, in L*a*b*; and how much more
    coloured the open mouth is within than the photo's lips: a grey photo stays grey."""
    figures: Figures = {"colour_shift": None, "mouth_chroma_gain": None}
    own = lab(source)
    if "rest" in seen:
        before = own[areas.skin(source, points)].mean(0)
        after = lab(looks["rest"])[areas.skin(looks["rest"], seen["rest"])].mean(0)
        figures["colour_shift"] = float(np.linalg.norm(after - before))
    inside = areas.inner_mouth(looks["widest"], seen["widest"]) if "widest" in seen else None
    if inside is not None and inside.any():
        lips, within = own[areas.lips(source, points)], lab(looks["widest"])[inside]
        chroma = [float(np.hypot(*part[:, 1:].mean(0))) for part in (lips, within)]
        figures["mouth_chroma_gain"] = chroma[1] - chroma[0]
    return figures


def _detail(picture: Picture, mask: areas.Mask, unit: float) -> float:
    """How sharp a part is: the fine share of its detail, where edges are but a quarter are softer.

    Local rms of an octave of about 1 % of the face height over that of coarser ones, weighed by the
    latter: flat skin does not count, a smear does. `unit`: the face height in pixels.
    """
    lightness = lab(picture)[..., 0]
    first, second, third = (
        cv2.GaussianBlur(lightness, (0, 0), sigma * unit) for sigma in (0.004, 0.008, 0.020)
    )
    fine, coarse = (
        cv2.GaussianBlur((a - b) ** 2, (0, 0), 0.020 * unit)[mask]
        for a, b in ((first, second), (second, third))
    )
    shares = np.sqrt(fine / np.maximum(coarse, 1e-3))
    order = np.argsort(shares)
    weight = np.cumsum(coarse[order]) / max(coarse.sum(), 1e-9)
    return float(shares[order][min(np.searchsorted(weight, 0.25), len(order) - 1)])


def _sharpness(
    source: Picture, points: Points, looks: Mapping[str, Picture], seen: Mapping[str, Points]
) -> Figures:
    """Of the wide mouth against the cheeks, and of these, each as a share of the photo's."""
    if "widest" not in seen:
        return {"mouth_sharpness": None, "cheek_sharpness": None}
    unit = face_height(points)
    (mouth, cheeks), (wide, beside) = (
        [_detail(picture, part(picture, mesh), unit) for part in (areas.mouth, areas.cheeks)]
        for picture, mesh in ((source, points), (looks["widest"], seen["widest"]))
    )
    return {"mouth_sharpness": wide / mouth * cheeks / beside, "cheek_sharpness": beside / cheeks}


def _still(
    source: Picture, points: Points, looks: Mapping[str, Picture], speech: Sequence[Picture]
) -> Figures:
    """Change of what lies still: from the photo, by the worst look; and from frame to frame."""
    parts = areas.still_parts(source, points)
    sent = to_rgb(to_i420(source)).astype(np.float32)  # as a viewer would get the photo itself
    figures: Figures = {"background_change": None, "shoulders_change": None}
    for name in ("background", "shoulders"):
        if name in parts:
            changes = [
                np.abs(look[parts[name]] - sent[parts[name]]).mean() for look in looks.values()
            ]
            figures[f"{name}_change"] = float(max(changes))
    flicker = Flicker(parts)
    for frame in speech:
        flicker.add(to_i420(frame))
    for name, values in flicker.figures(np.ones(len(speech), bool)).items():
        figures[f"flicker_{name.replace(' ', '_')}"] = values["change"]
    return figures


def _identity(source: Points, seen: Mapping[str, Points], described: Described) -> Figures:
    """Distances of the drawn person from the photo: of bones at rest; of the look of the upper
    face at rest, and the farthest of the turned heads."""
    apart = {name: described_apart(described.source, d) for name, d in described.drawn.items()}
    turned = [apart[name] for name in _TURNED if name in apart]
    return {
        "proportions_apart": proportions_apart(source, seen["rest"]) if "rest" in seen else None,
        "look_apart": apart.get("rest"),
        "look_apart_turned": max(turned, default=None),
    }
