"""The shipped cast: the people in `cast/`, by name."""

from __future__ import annotations

from pipelines.training.faces.params import FaceParams
from pipelines.training.faces.raster import hex_colour as c

CAST: dict[str, FaceParams] = {
    "amara": FaceParams(
        seed=1, skin=0.86, undertone=0.5, age=0.10, femininity=0.95, flush=0.5, cheeks=0.5,
        eye_size=0.4, eye_colour=c("#4a2a17"), nose_width=0.7, lip_fullness=0.9,
        lip_tint=c("#9c3a46"), lip_strength=0.5, hair="bun", hair_colour=c("#1d1412"),
        brow_colour=c("#17100e"), earrings="hoop", clothing="turtleneck",
        clothing_colour=c("#d99a2b"), background=c("#f1ddc2"), background_low=c("#d3a67c"),
    ),
    "henrik": FaceParams(
        seed=2, skin=0.10, undertone=-0.2, age=0.62, femininity=0.05, face_width=0.1,
        jaw_width=0.3, chin=0.3, eye_colour=c("#5f8fae"), brow_colour=c("#8d857d"),
        brow_thickness=0.3, lip_fullness=-0.4, hair="side_part", hair_colour=c("#b9b3ab"),
        beard="short", beard_colour=c("#b5aea6"), clothing="shirt",
        clothing_colour=c("#5b7fa6"), background=c("#dfe3df"), background_low=c("#a5b3b0"),
    ),
    "mei": FaceParams(
        seed=3, skin=0.16, undertone=0.3, age=0.08, femininity=0.95, face_width=0.2, cheeks=0.3,
        eye_tilt=0.7, eye_fold=0.45, eye_colour=c("#3a2416"), nose_length=-0.4,
        lip_tint=c("#c8455a"), lip_strength=0.5, hair="bob", hair_colour=c("#1a1416"),
        brow_colour=c("#231a19"), clothing="crew", clothing_colour=c("#b8433f"),
        background=c("#dcebe9"), background_low=c("#9cc3c0"),
    ),
    "diego": FaceParams(
        seed=4, skin=0.48, undertone=0.5, age=0.25, femininity=0.05, jaw_width=0.2,
        eye_colour=c("#4d2f1a"), brow_thickness=0.6, brow_colour=c("#1c1310"),
        hair="swept", hair_colour=c("#231713"), beard="stubble", beard_colour=c("#1e1512"),
        clothing="blazer", clothing_colour=c("#2e4057"), background=c("#e7d9c6"),
        background_low=c("#b99777"),
    ),
    "freya": FaceParams(
        seed=5, skin=0.06, undertone=-0.1, age=0.05, femininity=0.9, flush=0.9, freckles=0.9,
        eye_size=0.3, eye_colour=c("#4f8a6a"), lip_tint=c("#cf5f5c"), hair="long_wavy",
        hair_colour=c("#a4481f"), brow_colour=c("#7d3c1f"), clothing="v_neck",
        clothing_colour=c("#3d6b58"), background=c("#f4e3d7"), background_low=c("#dcae95"),
        parting="right",
    ),
    "omar": FaceParams(
        seed=6, skin=0.70, undertone=0.2, age=0.35, femininity=0.0, jaw_width=0.2, chin=0.2,
        eye_colour=c("#3b2314"), nose_width=0.6, lip_fullness=0.5, brow_colour=c("#120d0c"),
        brow_thickness=0.3, hair="crop", hair_colour=c("#171110"), beard="full",
        beard_colour=c("#15100f"), clothing="hoodie", clothing_colour=c("#7d8a94"),
        background=c("#c9dcea"), background_low=c("#7fa3c1"),
    ),
    "lucia": FaceParams(
        seed=7, skin=0.30, undertone=0.4, age=0.45, femininity=0.9, eye_colour=c("#5e4426"),
        lip_tint=c("#b33a3f"), lip_strength=0.6, hair="long_straight",
        hair_colour=c("#3f2417"), brow_colour=c("#2f1c13"), clothing="blazer",
        clothing_colour=c("#6d2f45"), inner_colour=c("#f1ebe2"), background=c("#e6dfec"),
        background_low=c("#ab9cc0"),
    ),
    "edith": FaceParams(
        seed=8, skin=0.08, undertone=-0.2, age=0.85, femininity=0.85, flush=0.7,
        eye_colour=c("#5e86a3"), lip_tint=c("#bf5a62"), lip_strength=0.35, hair="pixie",
        hair_colour=c("#d9d5d0"), brow_colour=c("#a39a92"), glasses="round", earrings="stud",
        clothing="crew", clothing_colour=c("#6a6f9e"), background=c("#e8e6d8"),
        background_low=c("#b9b596"),
    ),
}
