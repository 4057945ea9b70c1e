"""Runs the evaluation: person by person, written down after each."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import benchmarks.swaptalk
from benchmarks.swaptalk.clips import Person, Speech, head, people, speech
from benchmarks.swaptalk.figures.identity import FaceReader
from benchmarks.swaptalk.flicker import jitter, recoded, truth_of
from benchmarks.swaptalk.measured import Figures, Judge, Row, Truth
from benchmarks.swaptalk.methods import LATENT, NONE, SWAPPED, PixelFaces, Template, batched, play
from benchmarks.swaptalk.networks import Networks, load_networks, stamp
from benchmarks.swaptalk.table import flicker_table, table
from benchmarks.timing import machine_stamp
from pipelines.swaptalk.options import SwapTalkOptions
from pipelines.swaptalk.vqgan.network import Vqgan
from pipelines.swaptalk.vqgan.weights import read_vqgan
from training.swaptalk.pixels.network import load_pixels

SELF, CROSS = "self-driven", "cross-driven"
GROUND_TRUTH, SWAPPED_TRUTH = "ground truth", "ground truth, swapped"
_OTHER_SPEECH = 1_000  # seeds of what cross-driven clips say
_NEXT = 1  # whose face comes in: the next person's


@dataclass
class Scene:
    """A target and who comes in, both with the target's head; the target speaks in `target`."""

    said: dict[str, Speech]
    target: Tensor
    truths: dict[str, Tensor]  # by setting, of the target, [n, 3, S, S] in [-1, 1]
    swapped: dict[str, Tensor]  # the same of the source
    reference: int


@dataclass
class Evaluation:
    """Everything found so far."""

    rows: dict[str, dict[str, Row]] = field(
        default_factory=lambda: {each: defaultdict(Row) for each in (SELF, CROSS)}
    )
    flicker: dict[str, list[dict[str, float]]] = field(default_factory=lambda: defaultdict(list))

    def figures(self) -> dict[str, dict[str, Figures]]:
        """By setting and method."""
        return {
            setting: {name: row.figures() for name, row in methods.items()}
            for setting, methods in self.rows.items()
        }

    def flickers(self) -> dict[str, dict[str, float]]:
        """Means over people of what trembles, by what was drawn."""
        return {
            name: {part: float(np.mean([row[part] for row in rows])) for part in rows[0]}
            for name, rows in self.flicker.items()
        }


def scene(number: int, everybody: Sequence[Person], frames: int) -> Scene:
    """Of person `number`."""
    moves = head(number, frames)
    said = {SELF: speech(number, frames), CROSS: speech(_OTHER_SPEECH + number, frames)}
    motions = [each.motion for each in said.values()]
    own = everybody[number].clips(moves, motions)
    other = everybody[(number + _NEXT) % len(everybody)].clips(moves, motions)
    return Scene(
        said, own[0], dict(zip(said, own, strict=True)), dict(zip(said, other, strict=True)),
        int(np.argmin(said[SELF].gap)),
    )  # fmt: skip


class Evaluator:
    """Draws and measures scenes."""

    def __init__(
        self, networks: Networks, pixels: PixelFaces | None, faces: FaceReader | None,
        everybody: Sequence[Person], other: Vqgan | None = None,
    ) -> None:  # fmt: skip
        self._networks, self._pixels, self._other = networks, pixels, other
        self._everybody = everybody
        sources = torch.cat([person.square for person in everybody])
        self._judge = Judge(faces, sources, networks.vqgan, networks.expert)
        self._margin = SwapTalkOptions.margin
        self.found = Evaluation()

    @torch.inference_mode()
    def take(self, number: int, frames: int) -> None:
        """Measure all of person `number`."""
        seen, source = scene(number, self._everybody, frames), self._source(number)
        face = self._everybody[source].square if self._networks.swap is not None else None
        latent = self._networks.faces(self._margin)
        template = Template(latent, self._pixels, seen.target, seen.reference, face)
        for setting, said in seen.said.items():
            own = Truth(_unit(seen.truths[setting]), said, number)
            swapped = Truth(_unit(seen.swapped[setting]), said, source)
            made = {GROUND_TRUTH: own.squares} | template.draw(own.motion)
            if face is not None:
                made[SWAPPED_TRUTH] = swapped.squares
            if setting == SELF:
                made.pop(NONE)  # the target as it is, and so the truth
            for name in sorted(made, key=_place):
                truth = swapped if name in (*SWAPPED, SWAPPED_TRUTH) else own
                self._judge.add(self.found.rows[setting][name], made[name], truth)
        self._flicker(seen)

    def _source(self, number: int) -> int:
        return (number + _NEXT) % len(self._everybody)

    def _flicker(self, seen: Scene) -> None:
        spaces = {"VQGAN": self._networks.vqgan}
        if self._other is not None:
            spaces["other VQGAN"] = self._other
        maps = {name: batched(each.encode_halves, seen.target) for name, each in spaces.items()}
        motion = torch.from_numpy(seen.said[SELF].motion)
        key = slice(seen.reference, seen.reference + 1)
        for margin in (0.0, self._margin):
            for name, space in spaces.items():
                self._trembles(name, space, margin, recoded(space, maps[name], margin), seen)
            faces = self._networks.faces(margin)
            rows = faces.prepare(maps["VQGAN"], maps["VQGAN"][key])
            made = play(faces, rows, motion)
            self._trembles(LATENT, self._networks.vqgan, margin, made, seen)

    def _trembles(self, what: str, space: Vqgan, margin: float, made: Tensor, seen: Scene) -> None:
        name = f"{what}, f{space.config.factor}, margin {margin:g}"
        self.found.flicker[name].append(jitter(made, truth_of(seen.target)))


def _place(name: str) -> tuple[bool, bool, str]:
    """Truths first, then what shows the target, then what shows the source."""
    swapped = name in (*SWAPPED, SWAPPED_TRUTH)
    return swapped, name not in (GROUND_TRUTH, SWAPPED_TRUTH), name


def _unit(squares: Tensor) -> Tensor:
    return (squares * 0.5 + 0.5).clamp(0.0, 1.0)


def evaluate(evaluator: Evaluator, count: int, frames: int) -> Iterator[Evaluation]:
    """What is known after each person."""
    for number in tqdm(range(count), desc="people", unit="person"):
        evaluator.take(number, frames)
        yield evaluator.found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    args = _parser().parse_args(arguments)
    torch.set_num_threads(args.threads)
    count, frames = (4, 50) if args.quick else (args.people, args.frames)
    networks = load_networks(args.weights)
    pixels = None if args.pixels is None else PixelFaces(load_pixels(args.pixels))
    faces = None if args.recogniser is None else FaceReader(args.recogniser)
    other = None if args.other is None else read_vqgan(args.other)
    everybody = people(args.data, count)
    about: dict[str, Any] = {"people": len(everybody), "frames": frames, "weights": networks.about}
    for name in ("pixels", "recogniser", "other"):
        if getattr(args, name) is not None:
            about[name] = stamp(getattr(args, name))
    about["machine"] = machine_stamp()
    evaluator = Evaluator(networks, pixels, faces, everybody, other)
    for found in evaluate(evaluator, len(everybody), frames):
        held = about | {"rows": found.figures(), "flicker": found.flickers()}
        args.out.write_text(json.dumps(held, indent=2) + "\n")
    print(table(evaluator.found.figures()), flicker_table(evaluator.found.flickers()), sep="\n\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.swaptalk", description=benchmarks.swaptalk.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "--weights", type=Path, required=True,
        help="folder of swaptalk-{vqgan,lips,swap,expert}.safetensors, or of their runs",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, help="folder made by flow_warp.data")
    parser.add_argument("--out", type=Path, required=True, help="JSON, written after each person")
    parser.add_argument("--pixels", type=Path, help="weights of training.swaptalk.pixels")
    parser.add_argument("--recogniser", type=Path, help="weights of training.recognise")
    parser.add_argument("--other", type=Path, help="a second VQGAN, for its flicker")
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--frames", type=int, default=75)
    parser.add_argument("--quick", action="store_true", help="4 people, 50 frames")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    return parser
