"""The shipped cast: the people in `cast/`, by name."""

from __future__ import annotations

from training.faces.params import FaceParams
from training.faces.raster import hex_colour

_c = hex_colour

CAST: dict[str, FaceParams] = {
    "amara": FaceParams(
        seed=1, skin=0.84, undertone=0.5, age=0.10, femininity=0.95, cheeks=0.5, face_length=0.2,
        eye_size=0.5, eye_tilt=0.3, eye_colour=_c("#4a2a17"), brow_arch=0.3, brow_tilt=0.8,
        brow_colour=_c("#17100e"), nose_width=0.6, lip_fullness=0.8, smile=0.7,
        lip_tint=_c("#9c3a46"), lip_strength=0.5, hair="afro", hair_colour=_c("#2a1c17"),
        earrings="hoop", clothing="turtleneck", clothing_colour=_c("#d99a2b"),
        background=_c("#f3dfc6"), background_low=_c("#d6a981"),
    ),
    "arjun": FaceParams(
        seed=12, skin=0.58, undertone=0.3, age=0.22, femininity=0.05, face_width=-0.2,
        face_length=0.3, eye_size=0.2, eye_colour=_c("#3d2415"), brow_thickness=0.6, brow_tilt=0.6,
        brow_colour=_c("#15100e"), nose_width=0.1, nose_length=0.2, lip_fullness=0.1, smile=0.6,
        lip_strength=0.15, hair="side_part", hair_colour=_c("#1c1413"), parting="right",
        beard="stubble", beard_colour=_c("#1a1312"), glasses="square", glasses_colour=_c("#2b211e"),
        clothing="shirt", clothing_colour=_c("#e8e4db"), background=_c("#cfe3da"),
        background_low=_c("#86b3a2"),
    ),
    "diego": FaceParams(
        seed=4, skin=0.46, undertone=0.5, age=0.25, femininity=0.05, jaw_width=0.2,
        eye_colour=_c("#5a371d"), brow_thickness=0.5, brow_arch=-0.3, brow_tilt=0.6,
        brow_colour=_c("#1c1310"), smile=0.7, lip_strength=0.12, hair="swept",
        hair_colour=_c("#2c1c16"), beard="short", beard_colour=_c("#271914"), clothing="blazer",
        clothing_colour=_c("#2e4057"), background=_c("#efe0cc"), background_low=_c("#c39d78"),
    ),
    "edith": FaceParams(
        seed=8, skin=0.08, undertone=-0.1, flush=0.7, age=0.80, femininity=0.9, face_width=0.2,
        jaw_width=0.2, cheeks=0.3, eye_size=0.1, eye_colour=_c("#5e86a3"), brow_tilt=0.5,
        brow_colour=_c("#a0968d"), smile=0.8, lip_tint=_c("#bf5a62"), lip_strength=0.45,
        hair="pixie", hair_colour=_c("#d9d5d0"), glasses="round", glasses_colour=_c("#7c3f4b"),
        earrings="stud", clothing="crew", clothing_colour=_c("#5f6aa3"), background=_c("#ece9d6"),
        background_low=_c("#bdb893"),
    ),
    "freya": FaceParams(
        seed=5, skin=0.05, undertone=0.0, flush=0.8, freckles=0.9, age=0.05, femininity=0.95,
        face_width=0.15, face_length=-0.3, eye_size=0.4, eye_colour=_c("#4f9070"), brow_arch=-0.3,
        brow_tilt=0.5, brow_colour=_c("#7d3c1f"), smile=0.7, lip_tint=_c("#cf5f5c"),
        hair="long_wavy", hair_colour=_c("#a84c22"), parting="right", clothing="v_neck",
        clothing_colour=_c("#3d6b58"), background=_c("#f8e6d8"), background_low=_c("#e2b79b"),
    ),
    "henrik": FaceParams(
        seed=2, skin=0.12, undertone=-0.1, age=0.60, femininity=0.05, jaw_width=0.2, chin=0.2,
        eye_colour=_c("#5f8fae"), brow_thickness=0.3, brow_tilt=0.5, brow_colour=_c("#8d857d"),
        lip_fullness=-0.2, smile=0.6, lip_strength=0.12, hair="side_part",
        hair_colour=_c("#b9b3ab"), beard="short", beard_colour=_c("#b5aea6"), clothing="shirt",
        clothing_colour=_c("#5b7fa6"), background=_c("#e2e7e3"), background_low=_c("#a5b5b2"),
    ),
    "kenji": FaceParams(
        seed=10, skin=0.20, undertone=0.4, age=0.08, femininity=0.15, jaw_width=-0.2, cheeks=0.2,
        face_length=-0.1, eye_size=0.1, eye_tilt=0.4, eye_fold=0.35, eye_colour=_c("#33200f"),
        brow_arch=-0.4, brow_tilt=0.4, brow_colour=_c("#1d1615"), nose_width=0.1, nose_length=-0.2,
        lip_fullness=0.1, smile=0.65, lip_strength=0.12, hair="crop", hair_colour=_c("#211a1a"),
        clothing="hoodie", clothing_colour=_c("#e0883f"), background=_c("#d9e6f2"),
        background_low=_c("#93b4d3"),
    ),
    "lucia": FaceParams(
        seed=7, skin=0.32, undertone=0.4, age=0.38, femininity=0.92, face_width=-0.2,
        face_length=0.4, eye_size=0.2, eye_colour=_c("#6b4d29"), brow_arch=0.2, brow_tilt=0.8,
        brow_colour=_c("#2f1c13"), smile=0.7, lip_tint=_c("#b33a3f"), lip_strength=0.65,
        hair="long_straight", hair_colour=_c("#4a2b1b"), clothing="blazer",
        clothing_colour=_c("#6d2f45"), inner_colour=_c("#f1ebe2"), background=_c("#eae3f0"),
        background_low=_c("#b2a3c8"),
    ),
    "mei": FaceParams(
        seed=3, skin=0.14, undertone=0.3, age=0.06, femininity=0.97, face_width=0.1, cheeks=0.3,
        face_length=-0.2, eye_size=0.3, eye_tilt=0.6, eye_fold=0.5, eye_colour=_c("#3f2818"),
        brow_arch=-0.2, brow_tilt=0.6, brow_colour=_c("#231a19"), nose_length=-0.4, smile=0.7,
        lip_tint=_c("#c8455a"), lip_strength=0.55, hair="bob", hair_colour=_c("#231c20"),
        clothing="crew", clothing_colour=_c("#c2473f"), background=_c("#dff0ec"),
        background_low=_c("#9fc9c3"),
    ),
    "noor": FaceParams(
        seed=9, skin=0.36, undertone=0.3, age=0.15, femininity=0.95, face_length=0.1, eye_size=0.4,
        eye_tilt=0.2, eye_colour=_c("#7a5a2c"), brow_thickness=0.2, brow_tilt=0.8,
        brow_colour=_c("#1f1512"), smile=0.7, lip_tint=_c("#b54d58"), lip_strength=0.45,
        hair="headscarf", hair_colour=_c("#5d93a3"), clothing="crew", clothing_colour=_c("#2f4858"),
        background=_c("#f6e7da"), background_low=_c("#dcb89c"),
    ),
    "omar": FaceParams(
        seed=6, skin=0.70, undertone=0.2, age=0.30, femininity=0.0, jaw_width=0.1, chin=0.2,
        face_length=0.3, eye_colour=_c("#3b2314"), brow_thickness=0.3, brow_arch=-0.3,
        brow_tilt=0.6, brow_colour=_c("#120d0c"), nose_width=0.5, lip_fullness=0.5, smile=0.6,
        lip_strength=0.12, hair="buzz", hair_colour=_c("#171110"), beard="full",
        beard_colour=_c("#1c1513"), clothing="crew", clothing_colour=_c("#8c99a3"),
        background=_c("#cfe0ee"), background_low=_c("#86a9c8"),
    ),
    "walter": FaceParams(
        seed=11, skin=0.90, undertone=0.1, age=0.88, femininity=0.05, cheeks=0.2, face_length=0.3,
        eye_colour=_c("#3a2517"), brow_tilt=0.7, brow_colour=_c("#b5afa8"), nose_width=0.7,
        lip_fullness=0.3, smile=0.75, lip_strength=0.12, hair="balding", hair_colour=_c("#cfcac3"),
        beard="short", beard_colour=_c("#d6d1ca"), clothing="v_neck", clothing_colour=_c("#7a2f35"),
        background=_c("#efe3cf"), background_low=_c("#c6a985"),
    ),
}  # fmt: skip
