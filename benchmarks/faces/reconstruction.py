"""How well the shipped flow-warp renderer redraws people it has never seen.

    python -m benchmarks.faces.reconstruction [--data DIR]

Held-out drawn people with known motion: the source is the resting face, the wanted picture the same
face in another frame. Three ways to say the motion: `motion`, as a stream drives the pipeline;
`picture`, the code read off the wanted picture; `stranger`, read off another person in the same
motion. `copy`, the source as it is, is the floor.

Two probes that cannot both be gamed. Motion: lips, lids and head as MediaPipe FaceMesh reads them
from the drawn picture, beside what it reads from the wanted one (a copy fails). Identity: a linear
reader of people, fitted to half of the true frames without their colours, names who is drawn, and
how often it names the driver instead (a copy of the driver fails).
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from torch import Tensor

from benchmarks.faces.figures import flat, gap
from benchmarks.faces.mesh import MeshReader
from benchmarks.timing import write_result
from pipelines.anitalker.config import MAPPED
from pipelines.anitalker.mapped_codes import MotionToCode
from pipelines.anitalker.network import FlowWarp
from pipelines.anitalker.weights import load_map, load_renderer
from pipelines.photo.curves import face_height, head_angles, lid_opening, mouth_width
from training.flow_warp.data import draw
from training.flow_warp.export import RENDERER
from training.flow_warp.store import Face, read_faces

WAYS = ("copy", "motion", "picture", "stranger")
_READINGS = ("lip_gap", "mouth_width", "lid_gap", "yaw", "pitch", "roll")
_PEOPLE, _FRAMES = 16, 48
_LOOK = 32  # pixels, side of what the reader of people sees
_RIDGE = 1.0

Pictures = NDArray[np.uint8]


def pictures_of(face: Face) -> Tensor:
    """All frames of a face, float32 [N, 3, S, S] in [-1, 1]."""
    frames = torch.stack([face.frame(index) for index in range(len(face))])
    return frames.permute(0, 3, 1, 2).float() / 127.5 - 1.0


@torch.inference_mode()
def redraw(
    model: FlowWarp, to_code: MotionToCode, source: Tensor, wanted: Tensor, stranger: Tensor,
    motion: Tensor,
) -> dict[str, Tensor]:  # fmt: skip
    """Each way's pictures of `source` [1, 3, S, S], as many as there are `wanted` [N, 3, S, S]."""
    count = len(wanted)
    maps, start, _ = model.encode(source)
    maps = [x.expand(count, -1, -1, -1) for x in maps]
    codes = {
        "motion": to_code.drawn(motion),
        "picture": model.encode(wanted).code,
        "stranger": model.encode(stranger).code,
    }
    drawn = {"copy": source.expand(count, -1, -1, -1)}
    for way, code in codes.items():
        drawn[way] = model.generator(maps, start.expand(count, -1), code).clamp(-1.0, 1.0)
    return drawn


def to_bytes(pictures: Tensor) -> Pictures:
    """[N, 3, S, S] in [-1, 1] -> uint8 [N, S, S, 3]."""
    scaled = ((pictures + 1.0) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy())


def likeness(drawn: Pictures, wanted: Pictures, mouth: Sequence[float]) -> dict[str, float]:
    """PSNR in dB and SSIM of the whole, PSNR around the mouth (x, y, half width in [-1, 1])."""
    size = drawn.shape[1]
    x, y, half = ((mouth[0] + 1) * size / 2, (mouth[1] + 1) * size / 2, mouth[2] * size / 2)
    rows = slice(int(y - 1.2 * half), int(y + 1.8 * half))
    columns = slice(int(x - 1.5 * half), int(x + 1.5 * half))
    pairs = list(zip(drawn, wanted, strict=True))
    return {
        "psnr": float(np.mean([_psnr(a, b) for a, b in pairs])),
        "ssim": float(np.mean([structural_similarity(a, b, channel_axis=2) for a, b in pairs])),
        "psnr_mouth": float(np.mean([_psnr(a[rows, columns], b[rows, columns]) for a, b in pairs])),
    }


def _psnr(a: Pictures, b: Pictures) -> float:
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return float(10.0 * np.log10(255.0**2 / max(error, 1e-2)))


class FaceReader:
    """Lips, lids and head of single pictures by FaceMesh."""

    def __init__(self) -> None:
        self._mesh = MeshReader()

    def read(self, pictures: Pictures) -> NDArray[np.float64]:
        """[N, S, S, 3] -> [N, len(_READINGS)]; NaN where no face is found."""
        return np.stack([self._one(picture) for picture in pictures])

    def _one(self, picture: Pictures) -> NDArray[np.float64]:
        points = self._mesh.read(picture)
        if points is None:
            return np.full(len(_READINGS), np.nan)
        seen = flat(points)
        width = mouth_width(seen) / face_height(seen)
        return np.array([gap(points), width, lid_opening(seen), *head_angles(points)])


class PeopleReader:
    """Ridge regression from small grey pictures, each of mean 0 and spread 1, to who is seen."""

    def __init__(self, pictures: Sequence[Tensor]) -> None:
        x = torch.cat([self._look(p) for p in pictures])
        who = torch.arange(len(pictures)).repeat_interleave(len(pictures[0]))
        wanted = F.one_hot(who).double() - 1.0 / len(pictures)
        kernel = x @ x.T
        ridge = _RIDGE * kernel.diagonal().mean() * torch.eye(len(x), dtype=x.dtype) / 10
        self._weight = x.T @ torch.linalg.solve(kernel + ridge, wanted)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Who is seen in pictures [N, 3, S, S]: int64 [N]."""
        return (self._look(pictures) @ self._weight).argmax(1)

    @staticmethod
    def _look(pictures: Tensor) -> Tensor:
        grey = F.interpolate(pictures.mean(1, keepdim=True), (_LOOK, _LOOK), mode="area")
        inner = grey[..., _LOOK // 6 : -_LOOK // 6, _LOOK // 5 : -_LOOK // 5].flatten(1).double()
        return (inner - inner.mean(1, keepdim=True)) / inner.std(1, keepdim=True)


def measure(faces: Sequence[Face], model: FlowWarp, to_code: MotionToCode) -> dict[str, object]:
    """Every figure, by way of driving."""
    pictures = [pictures_of(face) for face in faces]
    people = PeopleReader([p[::2] for p in pictures])  # even frames; the others are drawn
    reader = FaceReader()
    found: dict[str, dict[str, list[NDArray[np.float64]]]] = {
        way: defaultdict(list) for way in WAYS
    }
    for who, face in enumerate(faces):
        driver = _neighbour(faces, who)
        wanted = pictures[who][1::2]
        assert face.motion is not None
        drawn = redraw(
            model, to_code, pictures[who][:1], wanted, pictures[driver][1::2], face.motion[1::2]
        )
        aim = reader.read(to_bytes(wanted))
        for way, made in drawn.items():
            rows = found[way]
            for name, value in likeness(
                to_bytes(made), to_bytes(wanted), face.regions[0, 0].tolist()
            ).items():
                rows[name].append(np.array([value]))
            rows["read"].append(reader.read(to_bytes(made)) - aim)
            rows["aim"].append(aim - np.nanmean(aim, 0))
            seen = people(made)
            rows["kept"].append((seen == who).double().numpy())
            rows["driver"].append((seen == driver).double().numpy())
    true = [float((people(p[1::2]) == who).double().mean()) for who, p in enumerate(pictures)]
    ways = {way: _summary(rows) for way, rows in found.items()}
    return {"people": len(faces), "true_frames_named_right": round(np.mean(true), 3), **ways}


def _neighbour(faces: Sequence[Face], who: int) -> int:
    """Another of the same group, in the same motion."""
    same = [i for i, face in enumerate(faces) if face.group == faces[who].group]
    return same[(same.index(who) + 1) % len(same)]


def _summary(rows: dict[str, list[NDArray[np.float64]]]) -> dict[str, object]:
    error, aim = np.concatenate(rows["read"]), np.concatenate(rows["aim"])
    explained = 1.0 - np.nanvar(error, 0) / np.nanvar(aim, 0)
    means: dict[str, Callable[[], float]] = {
        name: lambda name=name: float(np.concatenate(rows[name]).mean())  # type: ignore[misc]
        for name in ("psnr", "ssim", "psnr_mouth", "kept", "driver")
    }
    figures: dict[str, object] = {name: round(value(), 3) for name, value in means.items()}
    figures["motion_explained"] = {
        name: round(float(value), 3) for name, value in zip(_READINGS, explained, strict=True)
    }
    figures["faces_lost"] = round(float(np.isnan(error[:, 0]).mean()), 3)
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faces.reconstruction")
    parser.add_argument("--data", type=Path, help="store of faces; drawn anew when left out")
    parser.add_argument("--renderer", default=RENDERER, help="name of weights")
    parser.add_argument("--motion", default=MAPPED, help="name of weights")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model, to_code = load_renderer(args.renderer), load_map(args.motion)
    size = model.config.size
    with tempfile.TemporaryDirectory() as folder:
        data = args.data or Path(folder)
        if args.data is None:
            draw(data, identities=0, held_out=_PEOPLE, frames=_FRAMES, size=size, seed=0)
        figures = measure(read_faces(data / "held_out", size), model, to_code)
    for way in WAYS:
        print(way, figures[way])
    print(write_result("reconstruction", figures))


if __name__ == "__main__":
    main()
