"""What a drawn portrait is made of: every number and choice that the drawing code reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.faces.raster import Colour, hex_colour

HairStyle = Literal[
    "bob",
    "long_straight",
    "long_wavy",
    "bun",
    "afro",
    "curly",
    "pixie",
    "side_part",
    "swept",
    "crop",
    "buzz",
    "balding",
    "bald",
    "headscarf",
]
BeardStyle = Literal["none", "stubble", "short", "full", "moustache", "goatee"]
ClothingStyle = Literal["crew", "shirt", "turtleneck", "blazer", "v_neck", "hoodie"]
GlassesStyle = Literal["none", "round", "square"]
EarringStyle = Literal["none", "stud", "hoop", "drop"]


@dataclass(frozen=True, kw_only=True)
class FaceParams:
    """One drawn person. Shape values run from -1 to 1 with 0 the average; amounts from 0 to 1."""

    seed: int = 0  # of strands, freckles and small asymmetries

    skin: float = 0.25  # 0 palest, 1 darkest
    undertone: float = 0.0  # -1 cool and rosy, 1 warm and golden
    flush: float = 0.5  # colour of cheeks, nose and ears
    freckles: float = 0.0
    age: float = 0.1  # 0 about twenty, 1 about eighty
    femininity: float = 0.5  # brow ridge, jaw, lashes, lip colour follow from it

    face_width: float = 0.0
    jaw_width: float = 0.0
    chin: float = 0.0  # pointed to broad
    cheeks: float = 0.0  # hollow to full
    face_length: float = 0.0

    eye_size: float = 0.0
    eye_spacing: float = 0.0
    eye_tilt: float = 0.0  # positive: outer corners higher
    eye_fold: float = 0.8  # 0 no lid crease, 1 a deep one
    eye_colour: Colour = (0.36, 0.23, 0.13)

    brow_thickness: float = 0.0
    brow_arch: float = 0.0
    brow_tilt: float = 0.0  # positive: inner ends higher, which looks friendlier
    brow_colour: Colour = (0.16, 0.10, 0.07)

    nose_width: float = 0.0
    nose_length: float = 0.0

    lip_fullness: float = 0.0
    lip_width: float = 0.0
    smile: float = 0.55  # lift of the corners of the closed mouth
    lip_tint: Colour = (0.72, 0.32, 0.32)
    lip_strength: float = 0.35  # how far the lips leave the skin's own colour

    hair: HairStyle = "side_part"
    hair_colour: Colour = (0.20, 0.12, 0.08)
    hair_volume: float = 0.0
    parting: Literal["left", "right"] = "left"  # as seen in the picture

    beard: BeardStyle = "none"
    beard_colour: Colour = (0.18, 0.11, 0.08)
    glasses: GlassesStyle = "none"
    glasses_colour: Colour = (0.16, 0.13, 0.12)
    earrings: EarringStyle = "none"
    earring_colour: Colour = (0.90, 0.72, 0.36)

    clothing: ClothingStyle = "crew"
    clothing_colour: Colour = (0.24, 0.38, 0.50)
    inner_colour: Colour = (0.93, 0.92, 0.90)

    background: Colour = (0.78, 0.84, 0.88)
    background_low: Colour = (0.55, 0.66, 0.74)
    light_from: Literal["left", "right"] = "left"
    light_warmth: float = 0.3  # -1 cool daylight, 1 golden lamp
    light_contrast: float = 0.5


# Skin from palest to darkest, sRGB, as lit by the key light.
_SKIN: tuple[Colour, ...] = tuple(
    hex_colour(code)
    for code in ("#fddfcf", "#f6cbb0", "#e2ae8a", "#c98f66", "#a97351", "#87583d", "#644334")
)


def skin_colour(params: FaceParams) -> Colour:
    """The base colour of the skin, sRGB."""
    at = min(max(params.skin, 0.0), 1.0) * (len(_SKIN) - 1)
    low = min(int(at), len(_SKIN) - 2)
    t = at - low
    a, b = _SKIN[low], _SKIN[low + 1]
    r, g, blue = (a[i] + (b[i] - a[i]) * t for i in range(3))
    warm = params.undertone
    return (r * (1 + 0.01 * warm), g * (1 + 0.022 * warm), blue * (1 - 0.07 * warm))
