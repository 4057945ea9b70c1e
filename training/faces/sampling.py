"""Random people: unlimited identities, each from one seed."""

from __future__ import annotations

import numpy as np

from training.faces.params import BeardStyle, ClothingStyle, FaceParams, HairStyle
from training.faces.raster import Colour, hex_colour, mix

_HAIR_COLOURS = tuple(
    hex_colour(code)
    for code in ("#171110", "#2a1a13", "#4a2c1b", "#6f4526", "#a2743f", "#cfa566", "#9b4420")
)
_GREY = hex_colour("#c9c5bf")
_EYE_COLOURS = tuple(
    hex_colour(code) for code in ("#3b2314", "#5a3a1e", "#6f5a30", "#557f5c", "#5f8fae", "#7b95a3")
)
_CLOTH_COLOURS = tuple(
    hex_colour(code)
    for code in (
        "#b8433f",
        "#3d6b58",
        "#2e4057",
        "#d99a2b",
        "#6a6f9e",
        "#7d8a94",
        "#e9e4da",
        "#33302f",
    )
)
_WALLS = tuple(
    (hex_colour(high), hex_colour(low))
    for high, low in (
        ("#f1ddc2", "#d3a67c"),
        ("#dfe3df", "#a5b3b0"),
        ("#dcebe9", "#9cc3c0"),
        ("#e6dfec", "#ab9cc0"),
        ("#c9dcea", "#7fa3c1"),
        ("#e8e6d8", "#b9b596"),
    )
)
_FEMALE: tuple[HairStyle, ...] = (
    "bob",
    "long_straight",
    "long_wavy",
    "bun",
    "pixie",
    "afro",
    "curly",
    "headscarf",
)
_MALE: tuple[HairStyle, ...] = (
    "side_part",
    "swept",
    "crop",
    "buzz",
    "afro",
    "balding",
    "bald",
)
_BEARDS: tuple[BeardStyle, ...] = (
    "none",
    "none",
    "stubble",
    "short",
    "full",
    "moustache",
    "goatee",
)
_CLOTHES: tuple[ClothingStyle, ...] = ("crew", "shirt", "turtleneck", "blazer", "v_neck", "hoodie")


def random_params(seed: int) -> FaceParams:
    """One person. The same seed gives the same person."""
    rng = np.random.default_rng(seed)

    def shape(spread: float = 0.45) -> float:
        return float(np.clip(rng.normal(0.0, spread), -1, 1))

    def amount(low: float = 0.0, high: float = 1.0) -> float:
        return float(rng.uniform(low, high))

    female = bool(rng.random() < 0.5)
    age = float(np.clip(rng.beta(1.2, 2.0), 0, 1))
    skin = amount()
    dark = int(skin > 0.45) * 3
    hair_colour = _HAIR_COLOURS[int(rng.integers(0, len(_HAIR_COLOURS) - dark - int(dark > 0)))]
    grey = float(np.clip((age - 0.45) * 2.5 + rng.normal(0, 0.15), 0, 1))
    drained = sum(hair_colour) / 3  # hair loses its colour before it turns white
    hair_colour = mix(hair_colour, (drained, drained, drained), min(1.4 * grey, 0.9))
    hair_colour = mix(hair_colour, _GREY, grey)
    brow = mix(mix(hair_colour, (0.1, 0.07, 0.06), 0.35), hair_colour, 0.3 * grey)
    eyes = _EYE_COLOURS[int(rng.integers(0, 3 if dark else len(_EYE_COLOURS)))]
    styles = _FEMALE if female else _MALE
    if not female and age < 0.35:
        styles = _MALE[:5]
    style = styles[int(rng.integers(len(styles)))]
    if style == "headscarf":
        hair_colour = _CLOTH_COLOURS[int(rng.integers(len(_CLOTH_COLOURS)))]
    wall = _WALLS[int(rng.integers(len(_WALLS)))]
    return FaceParams(
        seed=seed,
        skin=skin,
        undertone=shape(),
        flush=amount(0.2, 0.9),
        freckles=amount(0.4, 1.0) if rng.random() < 0.15 and skin < 0.4 else 0.0,
        age=age,
        femininity=amount(0.75, 1.0) if female else amount(0.0, 0.2),
        face_width=shape(),
        jaw_width=shape(),
        chin=shape(),
        cheeks=shape(),
        face_length=shape(),
        eye_size=shape(),
        eye_spacing=shape(),
        eye_tilt=shape(),
        eye_fold=amount(0.35, 1.0),
        eye_colour=eyes,
        brow_thickness=shape(),
        brow_arch=shape(),
        brow_colour=brow,
        nose_width=shape() + 0.5 * (skin - 0.4),
        nose_length=shape(),
        lip_fullness=shape(0.35) + 0.6 * (skin - 0.4),
        lip_width=shape(),
        smile=amount(0.1, 0.6),
        lip_tint=_lip_tint(rng),
        lip_strength=amount(0.2, 0.7) if female else amount(0.05, 0.2),
        hair=style,
        hair_colour=hair_colour,
        hair_volume=shape(),
        parting="left" if rng.random() < 0.5 else "right",
        beard="none" if female else _BEARDS[int(rng.integers(len(_BEARDS)))],
        beard_colour=mix(hair_colour, _GREY, 0.3 * grey),
        glasses=("round", "square")[int(rng.integers(2))] if rng.random() < 0.12 else "none",
        earrings=("stud", "hoop", "drop")[int(rng.integers(3))]
        if female and rng.random() < 0.5
        else "none",
        clothing=_CLOTHES[int(rng.integers(len(_CLOTHES)))],
        clothing_colour=_CLOTH_COLOURS[int(rng.integers(len(_CLOTH_COLOURS)))],
        background=wall[0],
        background_low=wall[1],
        light_from="left" if rng.random() < 0.5 else "right",
        light_warmth=shape(),
        light_contrast=amount(0.2, 0.9),
    )


def _lip_tint(rng: np.random.Generator) -> Colour:
    rose, berry = hex_colour("#c8555a"), hex_colour("#8f2f45")
    return mix(rose, berry, float(rng.uniform()))
