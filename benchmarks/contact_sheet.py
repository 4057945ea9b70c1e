"""Pictures to judge the renderer by eye: mouth shapes and head poses, for the cast and a photo.

    python -m benchmarks.contact_sheet [--out docs] [--photo FILE ...] [--size 168]

Writes contact_sheet_visemes.jpg and contact_sheet_poses.jpg. The photo is the public-domain NASA
portrait in scikit-image's wheel; further ones can be given for a look, not for the repository.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from benchmarks.bench_portrait import astronaut
from pipelines.identity import IdentityFeatures
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from pipelines.portrait.enrol import enrol
from pipelines.portrait.render import PortraitRenderer

ROOT = Path(__file__).parent.parent
MAX_BYTES = 600_000

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


def motion(values: Mapping[str, float]) -> Tensor:
    """A motion row [1, MOTION_DIM]; a name without a side sets both."""
    row = torch.zeros(1, MOTION_DIM)
    for name, value in values.items():
        names = [name] if name in MOTION_INDEX else [f"{name}Left", f"{name}Right"]
        for each in names:
            row[0, MOTION_INDEX[each]] = value
    return row


def face_box(identity: IdentityFeatures, share: float) -> tuple[int, int, int, int]:
    """A square around the head whose face fills `share` of its height, in pixels at 512."""
    points = (identity.tensors["landmarks"].numpy()[:, :2] + 1) * 256
    side = min(512.0, float(np.linalg.norm(points[10] - points[152])) / share)
    middle = (points[10] + points[152]) / 2
    left, top = np.clip(middle - np.array([side / 2, side * 0.52]), 0, 512 - side)
    return int(left), int(top), int(left + side), int(top + side)


def sheet(
    identities: Mapping[str, IdentityFeatures],
    looks: Mapping[str, Mapping[str, float]],
    cell: int,
    share: float,
) -> Image.Image:
    """One row per identity, one column per look."""
    head, side = 22, 8
    picture = Image.new("RGB", (side + cell * len(looks), head + cell * len(identities)), "white")
    write = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=14)
    for column, look in enumerate(looks):
        x = side + cell * column + cell // 2
        write.text((x, head // 2), look, fill="black", font=font, anchor="mm")
    renderer = PortraitRenderer(1)
    for row, (name, identity) in enumerate(identities.items()):
        renderer.set_identity(0, identity)
        box = face_box(identity, share)
        for column, values in enumerate(looks.values()):
            frame = renderer.render_rgb(motion(values), [0])[0].numpy()
            part = Image.fromarray(frame).resize((cell, cell), Image.Resampling.LANCZOS, box=box)
            picture.paste(part, (side + cell * column, head + cell * row))
        print(name)
    return picture


def save(picture: Image.Image, path: Path) -> None:
    """Keep `picture` as a JPEG below MAX_BYTES."""
    for quality in range(90, 40, -5):
        picture.save(path, quality=quality, optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            break
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


def main(argv: Sequence[str] | None = None) -> int:
    """Write both sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--photo", type=Path, nargs="*", default=[])
    parser.add_argument("--size", type=int, default=136, help="pixels of a cell")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    photos = {"NASA": astronaut()}
    photos |= {p.stem: p.read_bytes() for p in sorted((ROOT / "cast").glob("*.png"))}
    photos |= {p.stem: p.read_bytes() for p in args.photo}
    identities = {name: enrol(photo) for name, photo in photos.items()}
    args.out.mkdir(parents=True, exist_ok=True)
    save(sheet(identities, VISEMES, args.size, 0.74), args.out / "contact_sheet_visemes.jpg")
    save(sheet(identities, POSES, args.size, 0.5), args.out / "contact_sheet_poses.jpg")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
