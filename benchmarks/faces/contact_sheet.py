"""Pictures to judge a renderer by eye: mouth shapes, head poses and speech of the cast.

    python -m benchmarks.faces.contact_sheet [--pipeline P] [--out docs]
        [--photo FILE ...] [--size 136]

Frames of 512 px as a viewer gets them. For `portrait` it writes contact_sheet_visemes.jpg and
contact_sheet_poses.jpg, for `anitalker` contact_sheet_anitalker.jpg with frames of a spoken
sentence. Faces are those of the drawn cast; photos can be given for a look, not for the repository.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from benchmarks.avatars import CAST, enrolled
from benchmarks.faces.studio import Studio, to_rgb
from benchmarks.lips.sounds import Clip, spoken
from pipelines.anitalker.crop import CENTRE_Y, SIDE
from pipelines.clip import play
from pipelines.identity import IdentityFeatures
from pipelines.portrait.system import SYSTEM as PORTRAIT
from pipelines.registry import find_system, known_systems
from training.motion.articulation import FPS
from training.speech.synthesis import HELD_OUT_VOICES, synthesise

ROOT = Path(__file__).parents[2]
MAX_BYTES = 700_000
FRAME = 512  # pixels
SENTENCE = "Do you believe that a robot could compose an opera?"

# Names without a side stand for both.
VISEMES: dict[str, dict[str, float]] = {
    "rest": {},
    "A": {"jawOpen": 0.6, "mouthLowerDown": 0.15, "mouthUpperUp": 0.1},
    "E": {"jawOpen": 0.28, "mouthStretch": 0.4, "mouthUpperUp": 0.25, "mouthLowerDown": 0.3},
    "I": {"jawOpen": 0.12, "mouthStretch": 0.45, "mouthSmile": 0.3, "mouthLowerDown": 0.3},
    "O": {"jawOpen": 0.42, "mouthFunnel": 0.6, "mouthPucker": 0.2},
    "U": {"jawOpen": 0.14, "mouthPucker": 0.75, "mouthFunnel": 0.3},
    "M B P": {"mouthPress": 0.4, "jawOpen": 0.05, "mouthClose": 0.05},
    "F V": {"jawOpen": 0.08, "mouthRollLower": 0.6, "mouthUpperUp": 0.3},
    "TH L": {"jawOpen": 0.24, "tongueOut": 0.3, "mouthLowerDown": 0.2},
    "S": {"jawOpen": 0.05, "mouthStretch": 0.3, "mouthUpperUp": 0.3, "mouthLowerDown": 0.35},
    "smile": {"mouthSmile": 0.8, "cheekSquint": 0.5, "eyeSquint": 0.25},
    "laugh": {"mouthSmile": 0.8, "jawOpen": 0.35, "mouthUpperUp": 0.4, "eyeSquint": 0.4},
}
POSES: dict[str, dict[str, float]] = {
    "yaw -12": {"headYaw": -12},
    "yaw 12": {"headYaw": 12},
    "pitch 8": {"headPitch": 8},
    "pitch -8": {"headPitch": -8},
    "roll -8": {"headRoll": -8},
    "roll 8": {"headRoll": 8},
    "half blink": {"eyeBlink": 0.5},
    "blink": {"eyeBlink": 1},
    "gaze left": {"gazeYaw": -18},
    "gaze up": {"gazePitch": 12},
    "brows up": {"browInnerUp": 0.8, "browOuterUp": 0.8, "eyeWide": 0.5},
    "talking": {"headYaw": 9, "headPitch": 4, "headRoll": 5, "jawOpen": 0.45, "gazeYaw": -6},
}
DRAWN = {name: (VISEMES | POSES)[name] for name in ("rest", "A", "O", "M B P", "smile", "blink")}
DRAWN |= {"yaw 12": POSES["yaw 12"], "pitch -8": POSES["pitch -8"]}
SPOKEN = ("B", "UW", "IY", "AA")  # the middles of their first occurrences


def say(studio: Studio, identity: IdentityFeatures, clip: Clip) -> dict[str, Image.Image]:
    """A face as it says each phone of SPOKEN in a stream of the clip."""
    pipeline, size = studio.pipeline, studio.size
    pipeline.set_identity(0, identity, size)
    first = {phone.label: phone.middle_s for phone in reversed(clip.phones)}
    wanted = {int(first[label] * FPS): label for label in SPOKEN}
    frames = {}
    for n, shown in enumerate(play(pipeline, clip.samples, size, draw=wanted)):
        if shown.picture is not None:
            frames[wanted[n]] = Image.fromarray(to_rgb(shown.picture))
    return {label: frames[label] for label in SPOKEN}


def face_box(identity: IdentityFeatures, share: float) -> tuple[int, int, int, int]:
    """A square around the head whose face fills `share` of its height, in pixels of the frame."""
    if "square" in identity.tensors:
        left, top, side = identity.tensors["square"].tolist()
        height = side / SIDE
        middle = np.array([left + side / 2, top + side / 2 + CENTRE_Y * height])
    else:
        points = (identity.arrays["landmarks"][:, :2] + 1) * (FRAME / 2)
        height = float(np.linalg.norm(points[10] - points[152]))
        middle = (points[10] + points[152]) / 2
    side = min(float(FRAME), height / share)
    left, top = np.clip(middle - np.array([side / 2, side * 0.52]), 0, FRAME - side)
    return int(left), int(top), int(left + side), int(top + side)


def sheet(
    rows: Mapping[str, IdentityFeatures],
    draw: Callable[[IdentityFeatures], Mapping[str, Image.Image]],
    cell: int,
    share: float,
) -> Image.Image:
    """One row per face, one column for each name that `draw` gives."""
    head, side = 22, 8
    font = ImageFont.load_default(size=14)
    picture: Image.Image | None = None
    for row, (name, identity) in enumerate(rows.items()):
        box, frames = face_box(identity, share), draw(identity)
        if picture is None:
            size = (side + cell * len(frames), head + cell * len(rows))
            picture = Image.new("RGB", size, "white")
            write = ImageDraw.Draw(picture)
            for column, title in enumerate(frames):
                x = side + cell * column + cell // 2
                write.text((x, head // 2), title, fill="black", font=font, anchor="mm")
        for column, frame in enumerate(frames.values()):
            part = frame.resize((cell, cell), Image.Resampling.LANCZOS, box=box)
            picture.paste(part, (side + cell * column, head + cell * row))
        print(name)
    assert picture is not None
    return picture


def save(picture: Image.Image, path: Path) -> None:
    """Keep `picture` as a JPEG below MAX_BYTES."""
    for quality in range(90, 40, -5):
        picture.save(path, quality=quality, optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            break
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the sheets of a pipeline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipeline", default=PORTRAIT.name, choices=known_systems())
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--photo", type=Path, nargs="*", default=[])
    parser.add_argument("--size", type=int, default=136, help="pixels of a cell")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    system = find_system(args.pipeline)
    studio = Studio(system)
    photos = [*sorted(CAST.glob("*.png")), *args.photo]
    faces = {photo.stem: enrolled(system, photo) for photo in photos}
    args.out.mkdir(parents=True, exist_ok=True)

    def looks(
        face: IdentityFeatures, which: Mapping[str, Mapping[str, float]]
    ) -> dict[str, Image.Image]:
        return {name: Image.fromarray(studio.look(face, values)) for name, values in which.items()}

    if system.motion_names:
        visemes = sheet(faces, lambda face: looks(face, VISEMES), args.size, 0.74)
        save(visemes, args.out / "contact_sheet_visemes.jpg")
        poses = sheet(faces, lambda face: looks(face, POSES), args.size, 0.5)
        save(poses, args.out / "contact_sheet_poses.jpg")
    else:
        clip = spoken(synthesise(SENTENCE, HELD_OUT_VOICES[0]))

        def both(face: IdentityFeatures) -> dict[str, Image.Image]:
            said = {f"says {label}": frame for label, frame in say(studio, face, clip).items()}
            return looks(face, DRAWN) | said

        save(sheet(faces, both, args.size, 0.62), args.out / f"contact_sheet_{system.name}.jpg")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
